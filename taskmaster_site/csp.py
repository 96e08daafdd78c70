"""The Content-Security-Policy of the pages: everything from this site, no script in the page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

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


class ContentSecurityPolicy(MiddlewareMixin):
    """Sets the header, but not below /api/: the documentation there styles itself as it goes."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Adds the policy to a page."""
        if not request.path.startswith("/api/"):
            response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response
