"""The search for tasks, and how far lists look: one behind REST, admin, dashboard, operations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, Func, IntegerField, Max, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import Exact

from tasks.ids import MAX_ID
from tasks.lifecycle import Status
from tasks.models import Task

#: How far back a search looks, in ids: no index serves it, so it reads every one of these rows.
REACH = 100_000
#: Of so many tasks in a status that has an index, all are looked at.
FEW = 10_000
#: Statuses that an index of their own finds.
_INDEXED = (frozenset({Status.PENDING}), frozenset({Status.PICKED, Status.STARTED}))
#: Arguments that are larger than this as stored, in bytes, are not looked into.
MAX_STORED = 8_000
#: The longest text that is searched for.
MAX_TEXT = 200


def newest_id(using: str | None = None) -> int:
    """The id of the newest task; 0 while there is none. Without a database: of the one read."""
    return int(Task.objects.using(using).aggregate(newest=Max("pk"))["newest"] or 0)


def within_reach(tasks: QuerySet[Task], statuses: Iterable[str] = ()) -> tuple[QuerySet[Task], str]:
    """A filtered list without a walk over the history, and what it leaves out, in words.

    `statuses`: those that the filter asks for, none for any. All tasks are looked at if there are
    few of them, else the newest `REACH`.
    """
    newest = newest_id()
    if newest <= REACH:
        return tasks, ""
    wanted = frozenset(statuses)
    if wanted and any(wanted <= indexed for indexed in _INDEXED):
        found = Task.objects.filter(status__in=wanted)
        if found.order_by().values("pk")[: FEW + 1].count() <= FEW:
            return tasks.filter(_OneOf(found)), ""
    return tasks.filter(pk__gt=newest - REACH), f"among the newest {REACH:,} tasks"


def search(tasks: QuerySet[Task], text: str, *, newest: int | None = None) -> QuerySet[Task]:
    """The tasks among the newest `REACH` in which each word is found.

    A word is found in the name, in args and kwargs (as JSON, upper and lower case alike), or is
    the whole of a queue, worker or tag. Digits alone are an id besides, of a task however old.
    `newest`: where to count the newest from, so that a search stays what it was.
    """
    words = text.replace("\0", " ")[:MAX_TEXT].split()
    if not words:
        return tasks
    since = (newest_id() if newest is None else newest) - REACH
    if len(words) == 1 and words[0].isascii() and words[0].isdigit():
        by_id = Q(pk=min(int(words[0][:19]), MAX_ID))
        return tasks.filter(by_id | _OneOf(_found(Task.objects.all(), words, since)))
    return _found(tasks, words, since)


def _found(tasks: QuerySet[Task], words: list[str], since: int) -> QuerySet[Task]:
    tasks = tasks.filter(pk__gt=since)
    for field in ("args", "kwargs"):
        tasks = tasks.alias(
            **{
                f"{field}_stored": Func(
                    F(field), function="pg_column_size", output_field=IntegerField()
                ),
                f"{field}_text": Cast(field, TextField()),
            }
        )
    for word in words:
        # As it stands in JSON: with a backslash before a quote.
        escaped = json.dumps(word, ensure_ascii=False)[1:-1]
        tasks = tasks.filter(
            Q(name__icontains=word)
            | Q(queue__iexact=word)
            | Q(worker__iexact=word)
            | Q(tags__contains=[word])
            | Q(args_stored__lte=MAX_STORED, args_text__icontains=escaped)
            | Q(kwargs_stored__lte=MAX_STORED, kwargs_text__icontains=escaped)
        )
    return tasks


class _OneOf(Exact):
    """The id is one of those that a subquery finds.

    By way of an array, so that they are found once and looked up by the primary key: beside a
    subquery the planner may walk the whole history.
    """

    def __init__(self, found: QuerySet[Task]) -> None:
        super().__init__(F("pk"), ArraySubquery(found.order_by().values("pk")))

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        """The operator with what stands to the right of it."""
        return f"= ANY({rhs})"
