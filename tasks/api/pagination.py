"""Paginate by cursor, so that pages stay stable while rows are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from taskmaster.tasks.errors import InvalidField

MAX_PAGE_SIZE = 500


class NewestFirst(CursorPagination):
    """Paginate by id, newest first."""

    ordering: str | tuple[str, ...] = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE
    page_size_query_description = f"Rows per page, from 1 to {MAX_PAGE_SIZE}."
    cursor_query_description = "Position of the page. Take it from the links `next` and `previous`."

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """Return the rows of the page. Raise InvalidField for an invalid cursor."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, TypeError, ValidationError):
            raise InvalidField(
                "cursor", "is invalid; take it from the links `next` and `previous`."
            ) from None

    def get_page_size(self, request: Request) -> int:
        """Return the rows per page. Raise InvalidField unless it is a number from 1 to 500."""
        raw = request.query_params.get("page_size")
        if raw is None:
            return self.page_size
        if not (raw.isascii() and raw.isdigit()) or not 1 <= int(raw[:9]) <= MAX_PAGE_SIZE:
            raise InvalidField("page_size", f"must be a whole number from 1 to {MAX_PAGE_SIZE}.")
        return int(raw)


class ByName(NewestFirst):
    """Paginate by name, which is unique."""

    ordering = "name"


class LatestDue(NewestFirst):
    """Paginate the runs of a schedule by due time, the latest first."""

    ordering = ("-due_at", "-id")
