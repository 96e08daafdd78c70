"""Select the rows of the task table: the newest tasks that match a filter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict

from taskmaster.tasks.models import Task
from taskmaster.tasks.models.task import command_head
from taskmaster.tasks.queries.filters import TaskFilter
from taskmaster.tasks.queries.search import MAX_TEXT, REACH, newest_id, within_reach

#: Number of rows of the table.
ROWS = 25
#: Label and value of each chip above the table, for the filter `status`.
CHIPS = (
    ("All", ""),
    ("Pending", "pending"),
    ("Running", "picked,started"),
    ("Complete", "complete"),
    ("Failed", "failed"),
    ("Cancelled", "cancelled"),
)
#: Filters of the table, named as in `GET /api/tasks/`.
NAMES = ("status", "queue", "name", "tag")


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
        """Return the value of the selected chip."""
        return self.chosen.get("status", "")

    @property
    def others(self) -> dict[str, str]:
        """Return the filters that have no chip."""
        return {name: value for name, value in self.chosen.items() if name != "status"}

    @property
    def query(self) -> str:
        """Return the query string with its question mark, or an empty string without a filter."""
        return f"?{urlencode(self.conditions)}" if self.active else ""

    @property
    def conditions(self) -> dict[str, str]:
        """Return the filters and the search under the names of `GET /api/tasks/`."""
        return {**self.chosen, **({"q": self.search} if self.search else {})}


def newest(table_filter: TableFilter) -> tuple[list[Task], str]:
    """Return the rows and a remark.

    The remark is the error of an invalid filter, or states how far back the search looked.
    """
    tasks = _head()
    if not table_filter.active:
        return list(tasks[:ROWS]), ""
    filter_set: Any = TaskFilter(table_filter.conditions, queryset=tasks)
    if not filter_set.is_valid():
        name, errors = next(iter(filter_set.errors.items()))
        return [], f"{name}: {errors[0]}"
    tasks = filter_set.qs
    if table_filter.search:
        remark = f"among the newest {REACH:,} tasks" if newest_id() > REACH else ""
    else:
        tasks, remark = within_reach(tasks, filter(None, table_filter.status.split(",")))
    return list(tasks[:ROWS]), remark


def _head() -> QuerySet[Task]:
    """Return tasks without arguments and results, but with the start of a shell command."""
    tasks = Task.objects.only(
        "name", "queue", "status", "worker", "attempt", "max_attempts",
        "created_at", "scheduled_at", "started_at", "completed_at", "failed_at", "cancelled_at",
    )  # fmt: skip
    return tasks.annotate(command=command_head()).order_by("-pk")
