"""Several databases, one web: `/shards/<name>/api/…` is the API of another database, to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import get_script_prefix, set_script_prefix

from tasks import shards
from tasks.api.errors import MEDIA_TYPE, problem

_PATH = re.compile(r"/shards/(?P<name>[^/]*)(?P<rest>/(?:api/.*|metrics))")
_STREAM = re.compile(r"/api/(?:logs/stream|tasks/\d+/events/)")
_READS = ("GET", "HEAD", "OPTIONS")


def names() -> list[str]:
    """Every shard this web reads, its own first."""
    return [DEFAULT_DB_ALIAS, *(name for name in connections if name != DEFAULT_DB_ALIAS)]


class Shards:
    """Middleware: reads another database for what is below `/shards/<name>/`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """404 for an unknown shard and for streams, 405 for what would change something."""
        match = _PATH.fullmatch(request.path_info)
        if match is None:
            return self._get_response(request)
        name, rest = match["name"], match["rest"]
        if name not in names():
            return _problem(
                HTTPStatus.NOT_FOUND, f"There is no shard {name!r}; /api/shards/ has them."
            )
        if request.method not in _READS:
            return _problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"Shard {name} is only read here; the web on its own database changes it.",
            )
        if _STREAM.fullmatch(rest):
            return _problem(
                HTTPStatus.NOT_FOUND,
                f"Shard {name} has no streams here, only at the web on its own database.",
            )
        before = get_script_prefix()
        request.path_info = rest
        set_script_prefix(f"{before}shards/{name}/")
        try:
            with shards.reading(name):
                return self._get_response(request)
        finally:
            set_script_prefix(before)


def _problem(status: HTTPStatus, detail: str) -> JsonResponse:
    answer = JsonResponse(problem(status, detail), status=status, content_type=MEDIA_TYPE)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_READS)
    return answer
