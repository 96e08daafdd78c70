"""Filter tasks for pages, REST, commands, admin and bulk operations.

The module needs django-filter. It does not need Django REST framework, which only an extra
installs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters as filters
from django import forms
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils.dateparse import parse_datetime

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Schedule, Task
from taskmaster.tasks.permissions import VIEW_SCHEDULE, require
from taskmaster.tasks.queries.search import MAX_TEXT, REACH, search
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME

_ZONED_RULE = "must be a time with a time zone, such as 2030-01-31T12:00:00Z (write + as %2B)."


class _ZonedTimeField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            when = parse_datetime(value)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            # The rule is a parameter, since the message is a format string and the rule has a "%".
            raise forms.ValidationError("%(rule)s", params={"rule": _ZONED_RULE})
        return when


class ZonedTimeFilter(filters.IsoDateTimeFilter):
    """Filter by an ISO 8601 time with a zone."""

    field_class = _ZonedTimeField


class TaskStatusFilter(filters.BaseInFilter, filters.ChoiceFilter):
    """Filter by one status, or by several separated by commas."""


class _ScheduleNameField(forms.CharField):
    """Convert the name of a schedule into its id."""

    def clean(self, value: Any) -> int | None:
        name = super().clean(value)
        if not name:
            return None
        found = Schedule.objects.filter(name=name).values_list("pk", flat=True).first()
        if found is None:
            # The name is a parameter, since the message is a format string.
            raise forms.ValidationError("No schedule has the name %(name)s.", params={"name": name})
        return found


class ScheduleNameFilter(filters.CharFilter):
    """Filter by the name of a schedule. An unknown name is an error."""

    field_class = _ScheduleNameField


class TaskFilter(filters.FilterSet):
    """Select the tasks that meet all given conditions."""

    status = TaskStatusFilter(
        choices=[(status.value, status.value) for status in Status],
        help_text="One status, or several separated by commas.",
    )
    queue = filters.CharFilter()
    name = filters.CharFilter(help_text="Dotted path of the callable, or `shell`.")
    tag = filters.CharFilter(method="with_tag", help_text="Only tasks with this tag.")
    created_after = ZonedTimeFilter("created_at", "gte")
    created_before = ZonedTimeFilter("created_at", "lt")
    scheduled_after = ZonedTimeFilter("scheduled_at", "gte")
    scheduled_before = ZonedTimeFilter("scheduled_at", "lt")
    finished_after = ZonedTimeFilter(method="finished", lookup_expr="gte")
    finished_before = ZonedTimeFilter(method="finished", lookup_expr="lt")
    q = filters.CharFilter(
        method="matching",
        max_length=MAX_TEXT,
        help_text=(
            f"Search the newest {REACH:,} tasks. Each word must occur in name, error, args or "
            "kwargs (as JSON), or equal the queue, the worker, a tag or the name of the submitter. "
            "Digits also match the id of any task. `#7` matches only the task 7."
        ),
    )

    class Meta:
        model = Task
        fields: list[str] = []

    def __init__(self, *args: Any, newest: int | None = None, **kwargs: Any) -> None:
        """Create the filter.

        `newest` is the highest id of the range that a search covers. The default is the newest id.
        """
        super().__init__(*args, **kwargs)
        self._newest = newest

    def with_tag(self, tasks: QuerySet[Task], name: str, tag: str) -> QuerySet[Task]:
        """Select the tasks with this tag."""
        return tasks.filter(tags__contains=[tag])

    def matching(self, tasks: QuerySet[Task], name: str, text: str) -> QuerySet[Task]:
        """Select the tasks that match the search text."""
        return search(tasks, text, newest=self._newest)

    def finished(self, tasks: QuerySet[Task], name: str, when: datetime) -> QuerySet[Task]:
        """Select the tasks that ended before `when`, or from `when` on."""
        lookup = self.filters[name].lookup_expr
        ended = Coalesce("completed_at", "failed_at", "cancelled_at")
        return tasks.alias(ended=ended).filter(**{f"ended__{lookup}": when})


class ListedTaskFilter(TaskFilter):
    """Select the tasks of a list. Only users who may view schedules may filter by schedule.

    The permission is checked before the name is looked up, because an unknown name is an error.
    """

    schedule = ScheduleNameFilter(
        "schedule_id",
        max_length=MAX_SCHEDULE_NAME,
        help_text=(
            "Name of the schedule that submitted the task. "
            "Requires the permission `taskmaster_tasks.view_schedule`."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create the filter. Raise NotAllowed if the user of the request may not use it."""
        super().__init__(*args, **kwargs)
        # REST passes the request. Pages check the permission themselves. A command needs none.
        if self.request is not None and "schedule" in self.data:
            require(self.request.user, VIEW_SCHEDULE)
