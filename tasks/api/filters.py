"""Filter lists. An unknown filter is an error, because ignoring it would return too many rows."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.views import APIView

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import TaskOutput

STREAMS = ("stdout", "stderr", "log")
#: Query parameters of the pagination, which are not filters.
_PAGING = frozenset({"cursor", "page_size"})


class StrictFilterBackend(filters.DjangoFilterBackend):
    """Reject unknown query parameters. A view lists further ones in `extra_parameters`."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        """Return the view's filter. Raise InvalidField for an unknown parameter."""
        filterset = super().get_filterset(request, queryset, view)
        known = {*filterset.filters, *getattr(view, "extra_parameters", _PAGING)}
        for name in request.query_params:
            if name not in known:
                raise InvalidField(
                    name, f"unknown filter; valid filters are {', '.join(sorted(known))}."
                )
        return filterset


class OutputFilter(filters.FilterSet):
    """Select output chunks by attempt and stream."""

    attempt = filters.NumberFilter(
        min_value=1,
        max_value=2**31 - 1,
        decimal_places=0,
        help_text="Only the output of this attempt.",
    )
    stream = filters.ChoiceFilter(choices=[(stream, stream) for stream in STREAMS])

    class Meta:
        model = TaskOutput
        fields: list[str] = []
