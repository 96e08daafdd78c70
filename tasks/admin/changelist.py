"""The list of tasks, which is as fast with ten million rows as with ten."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from tasks.admin.filters import NAMES
from tasks.models import Task
from tasks.search import FEW, REACH, newest_id, within_reach
from tasks.templatetags.taskmaster import tasks


class EstimatingPaginator(Paginator[Task]):
    """Counts to `FEW`; what is more is the planner's estimate, which costs nothing."""

    @cached_property
    def count(self) -> int:
        """The number of tasks, exact unless `estimated`."""
        tasks: Any = self.object_list
        tasks = tasks.order_by().values("pk")
        counted = int(tasks[: FEW + 1].count())
        if counted <= FEW:
            return counted
        [plan] = json.loads(tasks.explain(format="json"))
        return max(counted, int(plan["Plan"]["Plan Rows"]))

    @property
    def estimated(self) -> bool:
        """Whether `count` is an estimate."""
        return self.count > FEW

    @property
    def num_pages(self) -> int:
        """Pages lead `REACH` tasks back: each is reached by skipping all before it."""
        return min(super().num_pages, REACH // int(self.per_page))


class TaskList(ChangeList):
    """Newest first; a filter or a search looks at a bounded number of tasks, and says so."""

    #: What the list leaves out, in words; empty when it has all.
    remark = ""

    @property
    def asked(self) -> dict[str, str]:
        """The filters and the search in use, by parameter."""
        given = {name: self.params[name] for name in sorted(NAMES) if self.params.get(name)}
        return {**given, **({"q": self.query} if self.query else {})}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Task]:
        """What meets filters and search, as far back as a list looks."""
        tasks: QuerySet[Task] = super().get_queryset(request, exclude_parameters)
        asked = self.asked
        if "q" in asked:
            self.remark = f"among the newest {REACH:,} tasks" if newest_id() > REACH else ""
        elif asked:
            status = asked.get("status")
            tasks, self.remark = within_reach(tasks, [status] if status else [])
        return tasks

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Task]) -> list[Any]:
        """By id: nothing is indexed for another order, whatever the address says."""
        ordering: list[Any] = super().get_ordering(request, queryset)
        return ordering if ordering in (["id"], ["-id"]) else ["-id"]

    @property
    def count_text(self) -> str:
        """How many there are, for a person."""
        if not self.paginator.estimated:
            return tasks(self.result_count)
        # The planner knows only what was there when it last looked.
        if self.result_count == FEW + 1:
            return f"more than {FEW:,} tasks"
        return f"about {self.result_count:,} tasks"

    @property
    def pages_reach(self) -> str:
        """How far back the pages lead, where that is not to the end."""
        return f"{REACH:,}" if self.result_count > REACH else ""
