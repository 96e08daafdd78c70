"""Select and count the tasks of a bulk operation."""

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

from taskmaster.tasks.bulk_actions import TASK_RULES, Action
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.filters import TaskFilter

#: Time limits in seconds: of the full count, and of the stepwise count that follows it.
_COUNT_S, _STEPS_S = 3.0, 1.0
#: Range of ids that one step counts.
_STEP = 50_000


class TaskCount(NamedTuple):
    """Hold a number of tasks. With `at_least` it is a lower bound: the full count timed out."""

    number: int
    at_least: bool
    #: Lower bound of the matching ids; 0 if unknown.
    first_id: int = 0


def select_tasks(
    filter_: dict[str, str] | None,
    ids: list[int] | None,
    using: str = DEFAULT_DB_ALIAS,
    *,
    newest: int | None = None,
) -> QuerySet[Task]:
    """Return the tasks that a filter selects or ids name.

    The filter is the filter of the task list. A search in it covers the newest tasks up to the id
    `newest`. Raises InvalidField for an invalid filter.
    """
    tasks = Task.objects.using(using)
    if filter_ is None:
        return tasks.filter(pk__in=ids or ())
    filterset = TaskFilter(filter_, queryset=tasks.all(), newest=newest)
    for name, rules in filterset.errors.items():
        raise InvalidField(f"filter.{name}", " ".join(map(str, rules)))
    selected: QuerySet[Task] = filterset.qs
    return selected


def changeable(tasks: QuerySet[Task], action: Action) -> QuerySet[Task]:
    """Return the tasks that the action can change."""
    tasks = tasks.filter(status__in=sorted(TASK_RULES[action].sources))
    return tasks.filter(scheduled_at__gt=Now()) if action is Action.RUN_NOW else tasks


def count(
    tasks: QuerySet[Task],
    upper_id: int,
    using: str = DEFAULT_DB_ALIAS,
    *,
    within_s: float = _COUNT_S,
) -> TaskCount:
    """Count the tasks up to an id.

    When the count takes longer than `within_s`, count stepwise and return a lower bound.
    """
    tasks = tasks.filter(pk__lte=upper_id).order_by()
    try:
        with _statement_timeout(using, within_s):
            found = tasks.aggregate(number=CountOf("pk"), first_id=Min("pk"))
            first_id = found["first_id"] if found["number"] else upper_id + 1
            return TaskCount(found["number"], at_least=False, first_id=first_id)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
    return _count_stepwise(tasks, upper_id, using)


def _count_stepwise(tasks: QuerySet[Task], upper_id: int, using: str) -> TaskCount:
    """Count backwards from `upper_id` in steps for about one second."""
    until, found, last = time.monotonic() + _STEPS_S, 0, upper_id
    try:
        with _statement_timeout(using, _COUNT_S):
            while last > 0 and time.monotonic() < until:
                found += tasks.filter(pk__gt=last - _STEP, pk__lte=last).count()
                last -= _STEP
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
    return TaskCount(found, at_least=last > 0)


@contextmanager
def _statement_timeout(using: str, seconds: float) -> Iterator[None]:
    """Limit the duration of each statement in this block by `statement_timeout`."""
    with transaction.atomic(using), connections[using].cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        [before] = cursor.fetchone()
        limit = "SELECT set_config('statement_timeout', %s, TRUE)"
        cursor.execute(limit, [f"{max(1, int(seconds * 1_000))}ms"])
        yield
        # Restore the time-out for an enclosing transaction. After an error, the rollback does it.
        cursor.execute(limit, [before])
