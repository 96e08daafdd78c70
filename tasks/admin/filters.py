"""Filters of the task list whose choices cost no walk over the table."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest

from tasks import registry
from tasks.models import Task
from tasks.statements import statement

#: The newest tasks whose queues are offered as a choice.
_NEW = 1_000


class NameFilter(admin.SimpleListFilter):
    """Tasks of one registered name."""

    title = "name"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every name that can be submitted."""
        return [(name, name) for name in registry.names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """The tasks with the chosen name."""
        return queryset.filter(name=self.value()) if self.value() else queryset


class QueueFilter(admin.SimpleListFilter):
    """Tasks of one queue."""

    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The queues that tasks declare, that pending and new tasks are in, and the chosen one."""
        queues = {"default", *(task.queue_name for task in registry.load().values())}
        queues.update(Task.objects.order_by("-pk").values_list("queue", flat=True)[:_NEW])
        with connection.cursor() as cursor:
            cursor.execute(statement("scan"))
            queues.update(row[0] for row in cursor.fetchall())
        if chosen := request.GET.get("queue"):
            queues.add(chosen)
        return [(queue, queue) for queue in sorted(queues)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """The tasks in the chosen queue."""
        return queryset.filter(queue=self.value()) if self.value() else queryset
