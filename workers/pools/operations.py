"""Scale, create, change and delete pools for users and programs.

These functions change the desired state only. The reconciler of a coordinator applies it. Each
change is published as an event that names its user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from asgiref.sync import async_to_sync
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import Conflict, InvalidField, NotFound
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.workers.models import PoolMember, Worker, WorkerPool, WorkerStatus
from taskmaster.workers.models.pool import ProviderName
from taskmaster.workers.names import is_pool_name
from taskmaster.workers.pools import validation
from taskmaster.workers.pools.provider import DesiredPool, ProviderFailed
from taskmaster.workers.pools.providers import load_provider
from taskmaster.workers.pools.providers.local import require_posix
from taskmaster.workers.store import sync_store as store

DEFAULT = "default"
#: Longest time that a caller waits for the engine of a provider.
_CHECK_S = 5.0
#: Length to which an unknown name is cut in an error message.
_SHOWN = 40
_WAKE = "SELECT pg_notify('taskmaster_pool', '')"


class PoolNotFound(NotFound):
    """Raised when no pool has this name. HTTP 404."""

    def __init__(self, name: str) -> None:
        shown = name if is_pool_name(name) else ascii(name[:_SHOWN])
        super().__init__(f"There is no pool {shown}.")


def find(name: str, *, using: str = DEFAULT_DB_ALIAS) -> WorkerPool:
    """Return the pool of this name. Raises PoolNotFound."""
    return _find(WorkerPool.objects.using(using), name)


def scale(name: str, count: object, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> WorkerPool:
    """Set the desired number of workers. Of two concurrent calls the later one wins.

    `by` is the requesting user, for the activity log. Raises PoolNotFound, InvalidField unless the
    count is an integer within the bounds of the pool, and ProviderMissing or ProviderFailed when
    the provider cannot do it. Nothing has changed then.
    """
    pool = find(name, using=using)
    number = validation.whole("count", count, pool.minimum, pool.maximum)
    check_provider(pool)
    before = store.scale_pool(name, number, using=using)
    pool = find(name, using=using)
    if before is None:
        # The bounds of the pool were changed or the pool was deleted in between.
        validation.whole("count", count, pool.minimum, pool.maximum)
        raise PoolNotFound(name)
    if before != number:
        _publish_scaled(name, before, number, by, using)
    return pool


def create(
    fields: Mapping[str, object], *, by: str = "", using: str = DEFAULT_DB_ALIAS
) -> WorkerPool:
    """Create a pool.

    Raises InvalidField, Conflict when the name is taken, and the provider errors of `scale`.
    """
    if "name" not in fields:
        raise InvalidField("name", "is missing.")
    pool = WorkerPool(**validation.parse(fields))
    if "desired" not in fields:
        pool.desired = pool.minimum
    validation.check_bounds(pool.minimum, pool.desired, pool.maximum)
    check_provider(pool)
    try:
        with transaction.atomic(using=using):
            pool.save(using=using)
    except IntegrityError:
        raise Conflict(f"Pool {pool.name} already exists.") from None
    _publish(f"created pool {pool.name} with {pool.desired} workers", by, using)
    _wake(using)
    return pool


def change(
    name: str, fields: Mapping[str, object], *, by: str = "", using: str = DEFAULT_DB_ALIAS
) -> WorkerPool:
    """Change fields of a pool. Running workers keep the options they were started with.

    Raises the errors of `create`, PoolNotFound, and Conflict for another name, or for another
    provider while the pool has workers.
    """
    parsed = validation.parse(fields)
    with transaction.atomic(using=using):
        pool = _find(WorkerPool.objects.using(using).select_for_update(), name)
        before = pool.desired
        if parsed.get("name", name) != name:
            raise Conflict("A pool cannot be renamed; create another pool and delete this one.")
        if parsed.get("provider", pool.provider) != pool.provider:
            _require_empty(pool, "change its provider", using)
        if "environment" in parsed:
            parsed["environment"] = validation.merged(
                parsed["environment"],  # type: ignore[arg-type]
                pool.environment,
            )
        for field, value in parsed.items():
            setattr(pool, field, value)
        others = sorted(set(parsed) - {"desired", "name"})
        validation.check_bounds(pool.minimum, pool.desired, pool.maximum)
        if parsed.keys() & {"desired", "provider"}:
            check_provider(pool)
        parsed |= {"failures": 0, "retry_at": None}
        if pool.desired != before:
            parsed["scaled_at"] = timezone.now()
        for field, value in parsed.items():
            setattr(pool, field, value)
        pool.save(using=using, update_fields=list(parsed))
    if pool.desired != before:
        _publish_scaled(name, before, pool.desired, by, using)
    if others:
        _publish(f"changed {', '.join(others)} of pool {name}", by, using)
    _wake(using)
    return pool


def delete(name: str, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Delete a pool without workers. Raises PoolNotFound, or Conflict while it has any."""
    with transaction.atomic(using=using):
        # The row is locked, so that the pool cannot be scaled up between the check and the
        # deletion.
        pool = _find(WorkerPool.objects.using(using).select_for_update(), name)
        _require_empty(pool, "delete it", using)
        pool.delete(using=using)
    _publish(f"deleted pool {name}", by, using)
    _wake(using)


def check_provider(pool: WorkerPool) -> None:
    """Check that the provider of the pool can work. Raises ProviderMissing or ProviderFailed."""
    if pool.provider == ProviderName.LOCAL:
        require_posix()
        return
    desired = DesiredPool(
        pool.name, pool.desired, (), validation.permitted(pool.environment), pool.stop_limit_s
    )

    async def check() -> None:
        provider = load_provider(pool.provider)
        limit_s = min(_CHECK_S, settings().provider_timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                await provider.check(desired)
        except TimeoutError:
            raise ProviderFailed(
                f"The provider {pool.provider} did not answer within {limit_s:g} s."
            ) from None
        finally:
            await provider.close()

    async_to_sync(check)()


def _find(pools: QuerySet[WorkerPool], name: str) -> WorkerPool:
    # An invalid name is not sent in a query, because PostgreSQL does not accept every text.
    pool = pools.filter(name=name).first() if is_pool_name(name) else None
    if pool is None:
        raise PoolNotFound(name)
    return pool


def _require_empty(pool: WorkerPool, what: str, using: str) -> None:
    workers = PoolMember.objects.using(using).filter(pool=pool.name).count() or (
        Worker.objects.using(using)
        .filter(pool=pool.name)
        .exclude(status=WorkerStatus.OFFLINE)
        .count()
    )
    if pool.desired or workers:
        raise Conflict(
            f"Pool {pool.name} has workers ({pool.desired} desired, {workers} running); scale it "
            f"to 0 and wait until they have stopped to {what}."
        )


def _publish_scaled(name: str, before: int, count: int, by: str, using: str) -> None:
    _publish(f"scaled pool {name}: {before} → {count}", by, using)


def _publish(text: str, by: str, using: str) -> None:
    publish([NewEvent(EventKind.OPERATOR, text, user=by)], using=using)


def _wake(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(_WAKE)
