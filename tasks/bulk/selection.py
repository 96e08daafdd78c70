"""Which tasks an operation concerns, and how many they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction
from django.db.models import Count as CountOf
from django.db.models import Min, QuerySet
from django.db.models.functions import Now
from psycopg.errors import QueryCanceled

from tasks.api.filters import TaskFilter
from tasks.bulk.actions import RULES, Action
from tasks.errors import InvalidField
from tasks.models import Task

#: How long one count of everything may take, and a count in steps after it, in seconds.
_COUNT_S, _STEPS_S = 3.0, 1.0
#: Ids that one step looks through.
_STEP = 50_000


class Count(NamedTuple):
    """So many tasks; `at_least` where counting all of them took too long."""

    number: int
    at_least: bool
    #: Below this id there is none of them.
    first_id: int = 0


def named(
    filter_: dict[str, str] | None,
    ids: list[int] | None,
    using: str = DEFAULT_DB_ALIAS,
    *,
    newest: int | None = None,
) -> QuerySet[Task]:
    """The tasks that a filter selects or ids name. Raises InvalidField for a filter that is none.

    The filter is that of the list of tasks; a search in it reaches back from the id `newest`.
    """
    tasks = Task.objects.using(using)
    if filter_ is None:
        return tasks.filter(pk__in=ids or ())
    chosen = TaskFilter(filter_, queryset=tasks.all(), newest=newest)
    for name, rules in chosen.errors.items():
        raise InvalidField(f"filter.{name}", " ".join(map(str, rules)))
    selected: QuerySet[Task] = chosen.qs
    return selected


def changeable(tasks: QuerySet[Task], action: Action) -> QuerySet[Task]:
    """Those that the action can change."""
    tasks = tasks.filter(status__in=sorted(RULES[action].sources))
    return tasks.filter(scheduled_at__gt=Now()) if action is Action.RUN_NOW else tasks


def count(
    tasks: QuerySet[Task],
    upper_id: int,
    using: str = DEFAULT_DB_ALIAS,
    *,
    within_s: float = _COUNT_S,
) -> Count:
    """How many these are, up to an id; of very many a part, after a few seconds."""
    tasks = tasks.filter(pk__lte=upper_id).order_by()
    try:
        with _limited(using, within_s):
            found = tasks.aggregate(number=CountOf("pk"), first_id=Min("pk"))
            first_id = found["first_id"] if found["number"] else upper_id + 1
            return Count(found["number"], at_least=False, first_id=first_id)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
    return _count_some(tasks, upper_id, using)


def _count_some(tasks: QuerySet[Task], upper_id: int, using: str) -> Count:
    """Of the newest, as many as a second finds."""
    until, found, last = time.monotonic() + _STEPS_S, 0, upper_id
    try:
        with _limited(using, _COUNT_S):
            while last > 0 and time.monotonic() < until:
                found += tasks.filter(pk__gt=last - _STEP, pk__lte=last).count()
                last -= _STEP
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
    return Count(found, at_least=last > 0)


@contextmanager
def _limited(using: str, seconds: float) -> Iterator[None]:
    """No statement in it may take longer."""
    with transaction.atomic(using), connections[using].cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        [before] = cursor.fetchone()
        limit = "SELECT set_config('statement_timeout', %s, TRUE)"
        cursor.execute(limit, [f"{max(1, int(seconds * 1_000))}ms"])
        yield
        # A transaction around this one goes on as before; after an error it is rolled back to that.
        cursor.execute(limit, [before])
