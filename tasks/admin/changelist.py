"""List tasks with bounded queries, so that the size of the table does not affect the speed."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from taskmaster.tasks.admin.filters import NAMES
from taskmaster.tasks.admin.model_admin import Paginator
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.search import FEW, REACH, search_limit, within_reach
from taskmaster.tasks.templatetags.taskmaster import tasks


class EstimatingPaginator(Paginator[Task]):
    """Count up to `FEW` rows exactly; use the planner's estimate beyond that."""

    @cached_property
    def count(self) -> int:
        """Return the number of tasks, exact unless `estimated`."""
        tasks: Any = self.object_list
        tasks = tasks.order_by().values("pk")
        number = int(tasks[: FEW + 1].count())
        if number <= FEW:
            return number
        [plan] = json.loads(tasks.explain(format="json"))
        return max(number, int(plan["Plan"]["Plan Rows"]))

    @property
    def estimated(self) -> bool:
        """Return whether `count` is an estimate."""
        return self.count > FEW

    @property
    def num_pages(self) -> int:
        """Limit the pages to the newest `REACH` tasks, because OFFSET reads every skipped row."""
        return min(super().num_pages, REACH // int(self.per_page))


class TaskList(ChangeList):
    """List tasks, newest first.

    A filter or a search examines a bounded number of tasks, which `remark` states.
    """

    #: States how far back the list reaches; empty if the list is complete.
    remark = ""

    @property
    def active_filters(self) -> dict[str, str]:
        """Return the active filters and the search by parameter name."""
        given = {name: self.params[name] for name in sorted(NAMES) if self.params.get(name)}
        return {**given, **({"q": self.query} if self.query else {})}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Task]:
        """Return the tasks that match filters and search, within the reach of the list."""
        tasks: QuerySet[Task] = super().get_queryset(request, exclude_parameters)
        active_filters = self.active_filters
        if "q" in active_filters:
            self.remark = search_limit(self.query)
        elif active_filters:
            statuses = active_filters.get("status", "").split(",")
            tasks, self.remark = within_reach(tasks, filter(None, statuses))
        return tasks

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Task]) -> list[Any]:
        """Order by id only, because no index supports another order."""
        ordering: list[Any] = super().get_ordering(request, queryset)
        return ordering if ordering in (["id"], ["-id"]) else ["-id"]

    @property
    def count_text(self) -> str:
        """Format the number of tasks for display."""
        if not self.paginator.estimated:
            return tasks(self.result_count)
        # The estimate may be lower than the exact count, because it dates from the last ANALYZE.
        if self.result_count == FEW + 1:
            return f"more than {FEW:,} tasks"
        return f"about {self.result_count:,} tasks"

    @property
    def pages_reach(self) -> str:
        """Return how many tasks the pages cover, or an empty string if they cover all."""
        return f"{REACH:,}" if self.result_count > REACH else ""
