"""The rows of the task table: the newest, or the newest that meet a filter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict

from tasks.api.filters import TaskFilter
from tasks.models import Task
from tasks.models.task import command_head
from tasks.search import MAX_TEXT, REACH, newest_id, within_reach

#: Rows of the table.
SHOWN = 25
#: What the chips above the table stand for, in the words of the filter `status`.
CHIPS = (
    ("All", ""),
    ("Pending", "pending"),
    ("Running", "picked,started"),
    ("Complete", "complete"),
    ("Failed", "failed"),
    ("Cancelled", "cancelled"),
)
#: The filters of the table; the names are those of `GET /api/tasks/`.
NAMES = ("status", "queue", "name", "tag")


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked of the table. `chosen` has the filters in use by name."""

    chosen: dict[str, str] = field(default_factory=dict)
    search: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Filter:
        """From a query string; what is not known is left alone."""
        chosen = {name: str(query[name]) for name in NAMES if query.get(name)}
        return cls(chosen, str(query.get("q", "")).strip()[:MAX_TEXT])

    @property
    def active(self) -> bool:
        """Whether it shows anything but all."""
        return bool(self.chosen or self.search)

    @property
    def status(self) -> str:
        """The chip in use, as its value."""
        return self.chosen.get("status", "")

    @property
    def others(self) -> dict[str, str]:
        """The filters that have no chip of their own."""
        return {name: value for name, value in self.chosen.items() if name != "status"}

    @property
    def query(self) -> str:
        """As a query string, with its question mark; empty when it shows all."""
        return f"?{urlencode(self.conditions)}" if self.active else ""

    @property
    def conditions(self) -> dict[str, str]:
        """The filters in use and the search, as `GET /api/tasks/` names them."""
        return {**self.chosen, **({"q": self.search} if self.search else {})}


def newest(wanted: Filter) -> tuple[list[Task], str]:
    """The rows, and what is wrong with the filter in words, or how far it looked."""
    tasks = _head()
    if not wanted.active:
        return list(tasks[:SHOWN]), ""
    filtering: Any = TaskFilter(wanted.conditions, queryset=tasks)
    if not filtering.is_valid():
        name, errors = next(iter(filtering.errors.items()))
        return [], f"{name}: {errors[0]}"
    tasks = filtering.qs
    if wanted.search:
        remark = f"among the newest {REACH:,} tasks" if newest_id() > REACH else ""
    else:
        tasks, remark = within_reach(tasks, filter(None, wanted.status.split(",")))
    return list(tasks[:SHOWN]), remark


def _head() -> QuerySet[Task]:
    """Without arguments and results, but with the head of a shell command."""
    tasks = Task.objects.only(
        "name", "queue", "status", "worker", "attempt", "max_attempts",
        "created_at", "scheduled_at", "started_at", "completed_at", "failed_at", "cancelled_at",
    )  # fmt: skip
    return tasks.annotate(command=command_head()).order_by("-pk")
