"""Serve read access to several databases: `shards/<name>/api/…` is the API of another database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import get_script_prefix, get_urlconf, resolve, set_script_prefix, set_urlconf
from django.views.decorators.csrf import csrf_exempt

from taskmaster.tasks import shards
from taskmaster.tasks.api.errors import MEDIA_TYPE, problem

_URLCONF = "taskmaster.taskmaster_site.shard_urls"
_ROUTER = "taskmaster.tasks.shards.Router"
_STREAMS = ("stream", "task-events")
_READ_METHODS = ("GET", "HEAD", "OPTIONS")


def names() -> list[str]:
    """Return the names of all shards that this web process reads, its own first.

    The other databases of a project are shards only if TaskMaster's router sends reads to them.
    """
    if _ROUTER not in settings.DATABASE_ROUTERS:
        return [DEFAULT_DB_ALIAS]
    return [DEFAULT_DB_ALIAS, *(name for name in connections if name != DEFAULT_DB_ALIAS)]


# Only read methods are answered, so no request needs a CSRF token. The API authenticates itself.
@csrf_exempt
@login_not_required
def read(request: HttpRequest, name: str, rest: str) -> HttpResponse:
    """Answer `rest` as the web process of that database would.

    Answers 404 for an unknown shard and for streams, and 405 for any method but GET, HEAD and
    OPTIONS.
    """
    if name not in names():
        return _problem(
            HTTPStatus.NOT_FOUND, f"Shard {name!r} is not configured; api/shards/ lists the shards."
        )
    if request.method not in _READ_METHODS:
        return _problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"Method {request.method} is not allowed: shard {name} is read-only here. Use the web "
            "process of its own database for changes.",
        )
    match = resolve(f"/{rest}", _URLCONF)
    if match.url_name in _STREAMS:
        return _problem(
            HTTPStatus.NOT_FOUND,
            f"Streams of shard {name} are not available here. Use the web process of its own "
            "database.",
        )
    request.resolver_match = match
    with _url_prefix(request.path.removesuffix(rest)), shards.reading(name):
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if not getattr(response, "is_rendered", True):
            # Render inside the context, because rendering also reverses URLs.
            response = response.render()  # type: ignore[attr-defined]
        return response


@contextmanager
def _url_prefix(prefix: str) -> Iterator[None]:
    """Prepend `prefix` to every reversed URL."""
    previous = get_script_prefix(), get_urlconf()
    set_script_prefix(prefix)
    set_urlconf(_URLCONF)
    try:
        yield
    finally:
        set_script_prefix(previous[0])
        set_urlconf(previous[1])


def _problem(status: HTTPStatus, detail: str) -> JsonResponse:
    response = JsonResponse(problem(status, detail), status=status, content_type=MEDIA_TYPE)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_READ_METHODS)
    return response
