"""Pages that stay as they are while rows are added: each begins where the one before ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from tasks.errors import InvalidField

MAX_PAGE_SIZE = 500


class NewestFirst(CursorPagination):
    """By id, newest first; `page_size` up to 500, `cursor` from the links `next` and `previous`."""

    ordering: str | tuple[str, ...] = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE
    page_size_query_description = f"Rows a page, 1 to {MAX_PAGE_SIZE}."
    cursor_query_description = "Where the page begins: follow `next` and `previous`."

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """The rows of the page. Raises InvalidField for a cursor that is none of ours."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, TypeError, ValidationError):
            raise InvalidField(
                "cursor", "is not one of ours; take it from `next` or `previous`."
            ) from None

    def get_page_size(self, request: Request) -> int:
        """Rows a page. Raises InvalidField for what is no number from 1 to 500."""
        raw = request.query_params.get("page_size")
        if raw is None:
            return self.page_size
        if not (raw.isascii() and raw.isdigit()) or not 1 <= int(raw[:9]) <= MAX_PAGE_SIZE:
            raise InvalidField("page_size", f"must be a whole number from 1 to {MAX_PAGE_SIZE}.")
        return int(raw)
