"""Select the rows of task lists: the newest tasks that match a filter, page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict

from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.models import Task
from taskmaster.tasks.models.task import command_head
from taskmaster.tasks.permissions import VIEW_SCHEDULE, needed
from taskmaster.tasks.queries.filters import ListedTaskFilter
from taskmaster.tasks.queries.search import (
    MAX_TEXT,
    search_limit,
    within_reach,
    within_schedule,
)

#: Number of rows of the dashboard's table, and of a page of the task list.
ROWS, PAGE_ROWS = 25, 50
#: Label and value of each chip above the table, for the filter `status`. *Pending* and *Running*
#: select the tasks that the counters of these names count.
CHIPS = (
    ("All", ""),
    ("Pending", "waiting,pending,picked"),
    ("Parked", "waiting"),
    ("Running", "started"),
    ("Complete", "complete"),
    ("Failed", "failed"),
    ("Cancelled", "cancelled"),
)
_CHIP_VALUES = frozenset(value for _, value in CHIPS)
#: Filters of the table, named as in `GET /api/tasks/`.
NAMES = ("status", "queue", "name", "tag", "schedule")


@dataclass(frozen=True, slots=True)
class TableFilter:
    """Hold the filters and the search of the table. `chosen` maps names to values."""

    chosen: dict[str, str] = field(default_factory=dict)
    search: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> TableFilter:
        """Read a query string; ignore unknown parameters."""
        chosen = {name: str(query[name]) for name in NAMES if query.get(name)}
        return cls(chosen, str(query.get("q", "")).strip()[:MAX_TEXT])

    @property
    def active(self) -> bool:
        """Return whether any filter or search is set."""
        return bool(self.chosen or self.search)

    @property
    def status(self) -> str:
        """Return the value of the selected chip, or another value from the address."""
        return self.chosen.get("status", "")

    @property
    def others(self) -> dict[str, str]:
        """Return the filters that have no chip."""
        return {
            name: value
            for name, value in self.chosen.items()
            if name != "status" or value not in _CHIP_VALUES
        }

    @property
    def without_field(self) -> dict[str, str]:
        """Return the filters that have neither a chip nor a field on the page of tasks."""
        return {name: value for name, value in self.others.items() if name not in ("queue", "name")}

    @property
    def admin_query(self) -> str | None:
        """Return the query string for the admin's list, or None if that has no such filter."""
        return None if {"tag", "schedule"} & self.chosen.keys() else self.query

    @property
    def query(self) -> str:
        """Return the query string with its question mark, or an empty string without a filter."""
        return f"?{urlencode(self.conditions)}" if self.active else ""

    @property
    def conditions(self) -> dict[str, str]:
        """Return the filters and the search under the names of `GET /api/tasks/`."""
        return {**self.chosen, **({"q": self.search} if self.search else {})}


@dataclass(frozen=True, slots=True)
class Position:
    """Hold where a page starts: below the id `before`, or above the id `after`."""

    before: int | None = None
    after: int | None = None

    @classmethod
    def from_query(cls, query: QueryDict) -> Position:
        """Read a query string; ignore what is not an id."""
        before = parse_id(str(query.get("before", "")))
        return cls(before, None if before is not None else parse_id(str(query.get("after", ""))))


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Hold the rows of a page. `newer` and `older` are the query strings of its neighbours."""

    rows: list[Task]
    #: The error of an invalid filter, or how far back the list reaches.
    remark: str = ""
    is_first: bool = True
    newer: str = ""
    older: str = ""


def read_page(
    table_filter: TableFilter,
    position: Position | None = None,
    rows: int = PAGE_ROWS,
    *,
    sees_schedules: bool = False,
) -> TaskPage:
    """Return the page at this position. Above the newest task, it is the first page.

    A filter by schedule is an error unless the user `sees_schedules`.
    """
    tasks, remark = _matching(table_filter, sees_schedules=sees_schedules)
    if tasks is None:
        return TaskPage([], remark)
    position = position or Position()
    if position.after is not None:
        found = list(tasks.filter(pk__gt=position.after).order_by("pk")[: rows + 1])
        if len(found) > rows:
            found = found[:rows][::-1]
            return _page(table_filter, found, remark, newer=True, older=True)
    elif position.before is not None:
        found = list(tasks.filter(pk__lt=position.before)[: rows + 1])
        older = len(found) > rows
        return _page(table_filter, found[:rows], remark, newer=bool(found), older=older)
    found = list(tasks[: rows + 1])
    return _page(table_filter, found[:rows], remark, older=len(found) > rows, is_first=True)


def _page(
    table_filter: TableFilter,
    found: list[Task],
    remark: str,
    *,
    newer: bool = False,
    older: bool,
    is_first: bool = False,
) -> TaskPage:
    def link(**position: int) -> str:
        return f"?{urlencode({**table_filter.conditions, **position})}"

    return TaskPage(
        found,
        remark,
        is_first,
        link(after=found[0].pk) if newer else "",
        link(before=found[-1].pk) if older else "",
    )


def _matching(
    table_filter: TableFilter, *, sees_schedules: bool
) -> tuple[QuerySet[Task] | None, str]:
    """Return the tasks that match and how far back they reach, or None and an error."""
    tasks = _head()
    if not table_filter.active:
        return tasks, ""
    schedule = table_filter.chosen.get("schedule")
    if schedule and not sees_schedules:
        return None, f"schedule: {needed(VIEW_SCHEDULE)}"
    filter_set: Any = ListedTaskFilter(table_filter.conditions, queryset=tasks)
    if not filter_set.is_valid():
        name, errors = next(iter(filter_set.errors.items()))
        return None, f"{name}: {errors[0]}"
    if table_filter.search:
        return filter_set.qs, search_limit(table_filter.search)
    if schedule:
        return within_schedule(filter_set.qs, filter_set.form.cleaned_data["schedule"])
    return within_reach(filter_set.qs, filter(None, table_filter.status.split(",")))


def _head() -> QuerySet[Task]:
    """Return tasks without arguments and results, but with the start of a shell command."""
    tasks = Task.objects.only(
        "name", "queue", "status", "worker", "attempt", "max_attempts", "error",
        "created_at", "scheduled_at", "started_at", "completed_at", "failed_at", "cancelled_at",
    )  # fmt: skip
    return tasks.annotate(command=command_head()).order_by("-pk")
