"""What is said when a view fails."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.defaults import server_error as html_server_error

from tasks.api import errors


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Problem details below /api/, a page elsewhere."""
    if request.path.startswith("/api/"):
        return errors.server_error(request)
    return html_server_error(request)
