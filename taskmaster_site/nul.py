"""PostgreSQL stores no U+0000, and Django's own filters ask it for one all the same."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBadRequest
from django.utils.deprecation import MiddlewareMixin


class NoNul(MiddlewareMixin):
    """400 for a page that is asked for with one; the API names the field instead."""

    def process_request(self, request: HttpRequest) -> HttpResponseBadRequest | None:
        """Looks at the query alone: forms refuse it field by field."""
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path.startswith("/api/"):
            return HttpResponseBadRequest(
                "The address holds U+0000 (%00), which nothing that is stored can hold.",
                content_type="text/plain; charset=utf-8",
            )
        return None
