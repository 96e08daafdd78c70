"""Which tasks a list shows. A filter that is not known is an error, not a longer list."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils.dateparse import parse_datetime
from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.views import APIView

from tasks.errors import InvalidField
from tasks.lifecycle import Status
from tasks.models import Task, TaskOutput
from tasks.search import MAX_TEXT, REACH, search

STREAMS = ("stdout", "stderr", "log")
#: Query parameters that belong to the page, not to the filter.
_PAGING = frozenset({"cursor", "page_size"})
_ZONED_RULE = "must be a time with its zone like 2030-01-31T12:00:00Z (a + is written %2B)."


class StrictFilterBackend(filters.DjangoFilterBackend):
    """Refuses unknown parameters; a view names its own in `extra_parameters`."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        """The view's filter. Raises InvalidField for a parameter that it does not have."""
        filterset = super().get_filterset(request, queryset, view)
        known = {*filterset.filters, *getattr(view, "extra_parameters", _PAGING)}
        for name in request.query_params:
            if name not in known:
                raise InvalidField(name, f"unknown filter; known are {', '.join(sorted(known))}.")
        return filterset


class _ZonedTimeField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            when = parse_datetime(value)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            # As a parameter: the message itself is a format string.
            raise forms.ValidationError("%(rule)s", params={"rule": _ZONED_RULE})
        return when


class ZonedTimeFilter(filters.IsoDateTimeFilter):
    """ISO 8601 with a zone."""

    field_class = _ZonedTimeField


class StatusFilter(filters.BaseInFilter, filters.ChoiceFilter):
    """One status, or several with commas between."""


class TaskFilter(filters.FilterSet):
    """The tasks that meet every condition given."""

    status = StatusFilter(
        choices=[(status.value, status.value) for status in Status],
        help_text="One status, or several with commas between.",
    )
    queue = filters.CharFilter()
    name = filters.CharFilter(help_text="Dotted path of the callable, or `shell`.")
    tag = filters.CharFilter(method="with_tag", help_text="Tasks that carry this tag.")
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
            f"Searches the newest {REACH:,} tasks: each word in name, args or kwargs (as JSON), "
            "or as a whole queue, worker or tag. Digits alone are an id besides."
        ),
    )

    class Meta:
        model = Task
        fields: list[str] = []

    def __init__(self, *args: Any, newest: int | None = None, **kwargs: Any) -> None:
        """`newest`: the id from which a search counts the newest tasks, if not from the newest."""
        super().__init__(*args, **kwargs)
        self._newest = newest

    def with_tag(self, tasks: QuerySet[Task], name: str, tag: str) -> QuerySet[Task]:
        """Tasks that carry this tag among theirs."""
        return tasks.filter(tags__contains=[tag])

    def matching(self, tasks: QuerySet[Task], name: str, text: str) -> QuerySet[Task]:
        """The newest tasks in which the words are found."""
        return search(tasks, text, newest=self._newest)

    def finished(self, tasks: QuerySet[Task], name: str, when: datetime) -> QuerySet[Task]:
        """Tasks that completed, failed or were cancelled on one side of a moment."""
        lookup = self.filters[name].lookup_expr
        ended = Coalesce("completed_at", "failed_at", "cancelled_at")
        return tasks.alias(ended=ended).filter(**{f"ended__{lookup}": when})


class OutputFilter(filters.FilterSet):
    """Chunks of one attempt, of one stream, or both."""

    attempt = filters.NumberFilter(
        min_value=1, max_value=2**31 - 1, decimal_places=0, help_text="Of this attempt only."
    )
    stream = filters.ChoiceFilter(choices=[(stream, stream) for stream in STREAMS])

    class Meta:
        model = TaskOutput
        fields: list[str] = []
