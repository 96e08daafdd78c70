"""Filters of the task list: the names of `GET /api/tasks/`, and no choice costs a walk."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from tasks import registry
from tasks.errors import InvalidField
from tasks.lifecycle import Status
from tasks.models import Task
from tasks.statements import statement

#: The newest tasks whose queues are offered as a choice.
_NEW = 1_000
_HOUR_S = 3_600


class Equal(admin.SimpleListFilter):
    """The parameter is the name of a column, its value what stands there."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with the chosen value."""
        chosen = self.value()
        return queryset.filter(**{self.column: chosen}) if chosen else queryset

    @property
    def column(self) -> str:
        """Its name."""
        return str(self.parameter_name)


class StatusFilter(Equal):
    """Tasks of one status."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every status."""
        return [(status.value, status.value) for status in Status]


class NameFilter(Equal):
    """Tasks of one registered name."""

    title = "name"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every name that can be submitted."""
        return [(name, name) for name in registry.names()]


class QueueFilter(Equal):
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


class CreatedFilter(admin.SimpleListFilter):
    """Tasks that were submitted lately; the value is how many seconds ago at most."""

    title = "created"
    parameter_name = "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """A few spans."""
        return [
            (str(_HOUR_S), "within an hour"),
            (str(24 * _HOUR_S), "within a day"),
            (str(7 * 24 * _HOUR_S), "within a week"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """The tasks created since then; all for a value that is none of the choices."""
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(created_at__gte=_since(self.value() or "0"))


def _since(value: str) -> datetime:
    return timezone.now() - timedelta(seconds=int(value))


FILTERS = (StatusFilter, QueueFilter, NameFilter, CreatedFilter)
#: The parameters of the list, its search apart.
NAMES = frozenset(str(each.parameter_name) for each in FILTERS)


def conditions(parameters: QueryDict) -> dict[str, str]:
    """The filters and the search of a list, as `GET /api/tasks/` names them.

    Raises InvalidField for a span of creation that is none.
    """
    given = {name: str(parameters[name]) for name in (*NAMES, "q") if parameters.get(name)}
    if (span := given.pop("created", None)) is not None:
        if not (span.isascii() and span.isdigit() and len(span) < 9):
            raise InvalidField("created", "must be a number of seconds.")
        given["created_after"] = _since(span).isoformat()
    return given
