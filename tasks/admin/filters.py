"""Filter the task list with the parameter names of `GET /api/tasks/`.

No filter scans the whole table to offer its choices.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from taskmaster.tasks import registry
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.choices import known_queues

_HOUR_S = 3_600


class Equal(admin.SimpleListFilter):
    """Filter by equality: the parameter is the column name, its value the column's value."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the chosen value."""
        chosen = self.value()
        return queryset.filter(**{self.column: chosen}) if chosen else queryset

    @property
    def column(self) -> str:
        """Return the column name, which equals the parameter name."""
        return str(self.parameter_name)


class StatusFilter(Equal):
    """Filter tasks by one status, or by several separated by commas."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every status."""
        return [(status.value, status.value) for status in Status]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the tasks in one of the chosen statuses."""
        chosen = self.value()
        return queryset.filter(status__in=chosen.split(",")) if chosen else queryset


class NameFilter(Equal):
    """Filter tasks by registered name."""

    title = "name"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every name that can be submitted."""
        return [(name, name) for name in registry.names()]


class QueueFilter(Equal):
    """Filter tasks by queue."""

    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the queues of declared, pending and recent tasks, and the chosen queue."""
        queues = set(known_queues())
        if chosen := request.GET.get("queue"):
            queues.add(chosen)
        return [(queue, queue) for queue in sorted(queues)]


class CreatedFilter(admin.SimpleListFilter):
    """Filter tasks by age; the value is the maximum age in seconds."""

    title = "created"
    parameter_name = "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return an hour, a day and a week."""
        return [
            (str(_HOUR_S), "within an hour"),
            (str(24 * _HOUR_S), "within a day"),
            (str(7 * 24 * _HOUR_S), "within a week"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Return the tasks within the chosen age; ignore a value that is not a choice."""
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(created_at__gte=_since(self.value() or "0"))


def _since(value: str) -> datetime:
    return timezone.now() - timedelta(seconds=int(value))


FILTERS = (StatusFilter, QueueFilter, NameFilter, CreatedFilter)
#: Filter parameters of the list, without the search parameter.
NAMES = frozenset(str(each.parameter_name) for each in FILTERS)


def conditions(parameters: QueryDict) -> dict[str, str]:
    """Return the list's filters and search under the names of `GET /api/tasks/`.

    Raises InvalidField if `created` is not a number of seconds.
    """
    given = {name: str(parameters[name]) for name in (*NAMES, "q") if parameters.get(name)}
    if (span := given.pop("created", None)) is not None:
        if not (span.isascii() and span.isdigit() and len(span) < 9):
            raise InvalidField("created", "must be a number of seconds.")
        given["created_after"] = _since(span).isoformat()
    return given
