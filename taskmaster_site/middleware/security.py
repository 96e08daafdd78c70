"""Restrict what pages load and what their query strings contain.

The API is exempt from both: its documentation uses inline styles, and it names an invalid field. A
view may set a policy of its own.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from taskmaster.taskmaster_site.pages.responses import is_api

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
#: The policy of the task's page: the terminal of its console creates inline styles. Scripts stay
#: limited to files of this site.
POLICY_WITH_INLINE_STYLES = f"{_POLICY}; style-src 'self' 'unsafe-inline'"


class ContentSecurityPolicy(MiddlewareMixin):
    """Set the Content-Security-Policy: resources of this site only, no inline scripts or styles."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Add the header to a page."""
        if not is_api(request):
            response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response


class RejectNul(MiddlewareMixin):
    """Reject U+0000 in query strings. Django's filters would pass it on, but PostgreSQL fails."""

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponseBadRequest | None:
        """Answer 400 if the query string contains U+0000. Forms validate each field themselves."""
        if "%00" in request.META.get("QUERY_STRING", "") and not is_api(request):
            return HttpResponseBadRequest(
                "The query string contains U+0000 (%00), which PostgreSQL cannot store. Remove it.",
                content_type="text/plain; charset=utf-8",
            )
        return None
