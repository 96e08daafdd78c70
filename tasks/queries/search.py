"""Search tasks, and limit the range of lists, for REST, admin, dashboard and bulk operations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, F, Func, IntegerField, Max, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import Exact

from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task

#: Number of newest ids that a search covers. No index serves a search, so it reads all these rows.
REACH = 100_000
#: The limit of a search or of a filter without an index, for pages and commands.
REACH_TEXT = f"among the newest {REACH:,} tasks"
#: If statuses with an index have at most this number of tasks, lists include all of them.
FEW = 10_000
#: Sets of statuses that have a partial index.
_INDEXED = (
    frozenset({Status.WAITING}),
    frozenset({Status.PENDING}),
    frozenset({Status.PICKED, Status.STARTED}),
)
#: Maximum stored size in bytes of arguments that are searched. Larger ones are skipped.
MAX_STORED = 8_000
#: Maximum length of a search text.
MAX_TEXT = 200
_ID = re.compile(r"#\d{1,30}", re.ASCII)


def newest_id(using: str | None = None) -> int:
    """Return the id of the newest task, or 0 if there are no tasks.

    `using` is the database alias. The default is the database that the router selects for reads.
    """
    return int(Task.objects.using(using).aggregate(newest=Max("pk"))["newest"] or 0)


def within_reach(tasks: QuerySet[Task], statuses: Iterable[str] = ()) -> tuple[QuerySet[Task], str]:
    """Limit a filtered list so that its query does not read the whole table.

    Return the limited list and a text that names the limit, or '' without a limit. `statuses` are
    the statuses of the filter; empty means any. The list covers all tasks if the table is small or
    the statuses have an index and few tasks. Otherwise it covers the newest `REACH` ids.
    """
    newest = newest_id()
    if newest <= REACH:
        return tasks, ""
    selected = frozenset(statuses)
    if selected and selected <= frozenset[Status]().union(*_INDEXED):
        # One query for each index: PostgreSQL uses a partial index only for its own statuses.
        parts = [selected & indexed for indexed in _INDEXED if selected & indexed]
        found = [Task.objects.filter(status__in=part) for part in parts]
        if sum(each.order_by().values("pk")[: FEW + 1].count() for each in found) <= FEW:
            return tasks.filter(reduce(or_, (Q(_OneOf(each)) for each in found))), ""
    return tasks.filter(pk__gt=newest - REACH), REACH_TEXT


def within_schedule(tasks: QuerySet[Task], schedule_id: int) -> tuple[QuerySet[Task], str]:
    """Limit a filtered list of the tasks of a schedule, as `within_reach` does.

    It covers the newest `FEW` tasks of the schedule, which an index lists.
    """
    of_schedule = Task.objects.filter(schedule_id=schedule_id).order_by("-pk")
    last = of_schedule.values_list("pk", flat=True)[FEW : FEW + 1].first()
    if last is None:
        return tasks, ""
    return tasks.filter(pk__gt=last), f"among its newest {FEW:,} tasks"


def search(tasks: QuerySet[Task], text: str, *, newest: int | None = None) -> QuerySet[Task]:
    """Return the tasks among the newest `REACH` that match each word of `text`.

    A word matches a part of the name, of the error, of args or of kwargs (as JSON), or a whole
    queue, worker, tag or name of the submitter. The comparison ignores case, except for tags and
    submitters. `#7` matches only the id 7, of any task. If the text consists of digits, it also
    matches the id of any task. `newest` is the id from which `REACH` is counted. A fixed value
    keeps the result of a search stable.
    """
    words = _words(text)
    ids = [word for word in words if _ID.fullmatch(word)]
    for word in ids:
        tasks = tasks.filter(pk=_to_id(word[1:]))
    others = [word for word in words if word not in ids]
    if not others:
        return tasks
    since = (newest_id() if newest is None else newest) - REACH
    if ids:
        return _match(tasks, others, 0)
    if len(others) == 1 and others[0].isascii() and others[0].isdigit():
        by_id = Q(pk=_to_id(others[0]))
        return tasks.filter(by_id | _OneOf(_match(Task.objects.all(), others, since)))
    return _match(tasks, others, since)


def search_limit(text: str) -> str:
    """Return how far back a search for this text looks, or an empty string if it has no limit."""
    if all(map(_ID.fullmatch, _words(text))) or newest_id() <= REACH:
        return ""
    return REACH_TEXT


def _words(text: str) -> list[str]:
    return text.replace("\0", " ")[:MAX_TEXT].split()


def _to_id(digits: str) -> int:
    return min(int(digits[:19]), MAX_ID)


def _match(tasks: QuerySet[Task], words: list[str], since: int) -> QuerySet[Task]:
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
    submitters = _submitters(words)
    for word in words:
        # Search for the word as JSON escapes it, such as a quote with a backslash.
        escaped = json.dumps(word, ensure_ascii=False)[1:-1]
        matches = (
            Q(name__icontains=word)
            | Q(queue__iexact=word)
            | Q(worker__iexact=word)
            | Q(tags__contains=[word])
            | Q(error__icontains=word)
            | Q(args_stored__lte=MAX_STORED, args_text__icontains=escaped)
            | Q(kwargs_stored__lte=MAX_STORED, kwargs_text__icontains=escaped)
        )
        if word in submitters:
            matches |= Q(created_by_id=submitters[word])
        tasks = tasks.filter(matches)
    return tasks


def _submitters(words: list[str]) -> dict[str, Any]:
    """Return the id of the user for each word that is the name of a user.

    The names are looked up before the search, by their unique index.
    """
    user = get_user_model()
    name = user.USERNAME_FIELD
    if not isinstance(user._meta.get_field(name), CharField):
        return {}
    users = user._default_manager.filter(**{f"{name}__in": words})
    return dict(users.values_list(name, "pk"))


class _OneOf(Exact):
    """Compare the id with the ids that a subquery returns.

    The subquery becomes an array. PostgreSQL evaluates it once and looks the ids up by the primary
    key. With a plain subquery the planner may scan the whole table.
    """

    def __init__(self, found: QuerySet[Task]) -> None:
        super().__init__(F("pk"), ArraySubquery(found.order_by().values("pk")))

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        """Return the operator and its right operand."""
        return f"= ANY({rhs})"
