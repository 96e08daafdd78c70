"""What a person or a program asks of pools: scale, make, change, delete.

Desired state only: the reconciler of a coordinator makes it so. Each change is an event that says
who asked for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from asgiref.sync import async_to_sync
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from tasks.conf import settings
from tasks.errors import Conflict, InvalidField, NotFound
from tasks.events.event import Kind, NewEvent
from tasks.events.publish import publish
from tasks.statements import statement
from workers.models import PoolMember, Worker, WorkerPool, WorkerStatus
from workers.models.pool import Provider
from workers.pools import registry, rules
from workers.pools.names import NAME
from workers.pools.provider import ProviderFailed, Wanted
from workers.pools.providers.local import require_posix

DEFAULT = "default"
#: The longest that somebody who waits for an answer is kept waiting by an engine.
_CHECK_S = 5.0
#: Of a name that nothing bears, so much is repeated.
_SHOWN = 40
_WAKE = "SELECT pg_notify('taskmaster_pool', '')"


class PoolNotFound(NotFound):
    """No pool has this name. HTTP 404."""

    def __init__(self, name: str) -> None:
        shown = name if re.fullmatch(NAME, name) else ascii(name[:_SHOWN])
        super().__init__(f"There is no pool {shown}.")


def find(name: str, *, using: str = DEFAULT_DB_ALIAS) -> WorkerPool:
    """Raises PoolNotFound."""
    return _find(WorkerPool.objects.using(using), name)


def scale(name: str, count: object, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> WorkerPool:
    """There shall be so many workers; of two who ask at once the later one's count stands.

    `by`: the user who asks, for the activity log. Raises PoolNotFound, InvalidField for what is no
    whole number within the pool's bounds, ProviderMissing or ProviderFailed when it could not be
    made so; nothing has changed then.
    """
    pool = find(name, using=using)
    number = rules.whole("count", count, pool.minimum, pool.maximum)
    check_provider(pool)
    with connections[using].cursor() as cursor:
        statement_of = statement("pool_scale", "workers.sql")
        cursor.execute(statement_of, {"name": name, "count": number})
        row = cursor.fetchone()
    pool = find(name, using=using)
    if row is None:
        # Its bounds were changed meanwhile.
        rules.whole("count", count, pool.minimum, pool.maximum)
        raise PoolNotFound(name)
    if row[0] != number:
        _tell_scaled(name, row[0], number, by, using)
    return pool


def create(
    fields: Mapping[str, object], *, by: str = "", using: str = DEFAULT_DB_ALIAS
) -> WorkerPool:
    """Makes a pool. Raises InvalidField, Conflict when the name is taken, or as `scale` does."""
    if "name" not in fields:
        raise InvalidField("name", "is missing.")
    pool = WorkerPool(**rules.parse(fields))
    if "desired" not in fields:
        pool.desired = pool.minimum
    rules.check_bounds(pool.minimum, pool.desired, pool.maximum)
    check_provider(pool)
    try:
        with transaction.atomic(using=using):
            pool.save(using=using)
    except IntegrityError:
        raise Conflict(f"There is a pool {pool.name} already.") from None
    _tell(f"made pool {pool.name}, of {pool.desired} workers", by, using)
    _wake(using)
    return pool


def change(
    name: str, fields: Mapping[str, object], *, by: str = "", using: str = DEFAULT_DB_ALIAS
) -> WorkerPool:
    """Changes fields; the workers that run keep what they were started with.

    Raises as `create` does, PoolNotFound, or Conflict for another name, or another provider while
    there are workers.
    """
    parsed = rules.parse(fields)
    with transaction.atomic(using=using):
        pool = _find(WorkerPool.objects.using(using).select_for_update(), name)
        before = pool.desired
        if parsed.get("name", name) != name:
            raise Conflict("A pool keeps its name; make another, and delete this one.")
        if parsed.get("provider", pool.provider) != pool.provider:
            _require_empty(pool, "change its provider", using)
        if "environment" in parsed:
            parsed["environment"] = rules.merged(
                parsed["environment"],  # type: ignore[arg-type]
                pool.environment,
            )
        for field, value in parsed.items():
            setattr(pool, field, value)
        others = sorted(set(parsed) - {"desired", "name"})
        rules.check_bounds(pool.minimum, pool.desired, pool.maximum)
        if parsed.keys() & {"desired", "provider"}:
            check_provider(pool)
        parsed |= {"failures": 0, "retry_at": None}
        if pool.desired != before:
            parsed["scaled_at"] = timezone.now()
        for field, value in parsed.items():
            setattr(pool, field, value)
        pool.save(using=using, update_fields=list(parsed))
    if pool.desired != before:
        _tell_scaled(name, before, pool.desired, by, using)
    if others:
        _tell(f"changed {', '.join(others)} of pool {name}", by, using)
    _wake(using)
    return pool


def delete(name: str, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Deletes a pool without workers. Raises PoolNotFound, or Conflict while it has any."""
    with transaction.atomic(using=using):
        # Locked: nobody scales it up between the look and the end.
        pool = _find(WorkerPool.objects.using(using).select_for_update(), name)
        _require_empty(pool, "delete it", using)
        pool.delete(using=using)
    _tell(f"deleted pool {name}", by, using)
    _wake(using)


def check_provider(pool: WorkerPool) -> None:
    """Raises ProviderMissing or ProviderFailed when the pool's provider cannot do its work."""
    if pool.provider == Provider.LOCAL:
        require_posix()
        return
    asked = Wanted(pool.name, pool.desired, (), pool.environment, pool.stop_limit_s)

    async def check() -> None:
        provider = registry.engine(pool.provider)
        limit_s = min(_CHECK_S, settings().provider_timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                await provider.check(asked)
        except TimeoutError:
            raise ProviderFailed(
                f"The provider {pool.provider} did not answer within {limit_s:g} s."
            ) from None
        finally:
            await provider.close()

    async_to_sync(check)()


def _find(pools: QuerySet[WorkerPool], name: str) -> WorkerPool:
    # What is no name is not asked for: PostgreSQL does not take every text.
    pool = pools.filter(name=name).first() if re.fullmatch(NAME, name) else None
    if pool is None:
        raise PoolNotFound(name)
    return pool


def _require_empty(pool: WorkerPool, what: str, using: str) -> None:
    there = PoolMember.objects.using(using).filter(pool=pool.name).count() or (
        Worker.objects.using(using)
        .filter(pool_name=pool.name)
        .exclude(status=WorkerStatus.OFFLINE)
        .count()
    )
    if pool.desired or there:
        raise Conflict(
            f"Pool {pool.name} has workers ({pool.desired} desired, {there} there): scale it to 0 "
            f"and wait until they have gone to {what}."
        )


def _tell_scaled(name: str, before: int, count: int, by: str, using: str) -> None:
    text = f"pool {name}: {before} → {count}"
    _tell(f"scaled {text}" if by else text, by, using)


def _tell(text: str, by: str, using: str) -> None:
    publish([NewEvent(Kind.OPERATOR, text, user=by)], using=using)


def _wake(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(_WAKE)
