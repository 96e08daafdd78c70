"""Wrap a project's ASGI application: add streams over HTTP and consoles over WebSockets."""

from __future__ import annotations

from typing import Any

from channels.security.websocket import WebsocketDenier
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.urls import Resolver404, ResolverMatch, resolve

from taskmaster.taskmaster_site.console.consumer import Console, needs_websocket
from taskmaster.taskmaster_site.live.backpressure import Send
from taskmaster.taskmaster_site.live.streams import Receive, Scope, StreamServer
from taskmaster.tasks import registry
from taskmaster.tasks.conf import settings


class TaskMasterApplication:
    """Serve streams and consoles; pass everything else to the project's application."""

    def __init__(self, application: Any) -> None:
        # Wrong settings and broken task modules must fail at start-up, not during a request.
        settings()
        registry.load()
        self._application = application
        self._streams = StreamServer(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await self._streams(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _resolved(scope)
        if match is not None and match.func is needs_websocket:
            console = {**scope, "url_route": {"args": (), "kwargs": match.kwargs}}
            await Console.as_asgi()(console, receive, send)
        elif isinstance(self._application, ASGIHandler):
            # Django's own application does not accept WebSockets.
            await WebsocketDenier.as_asgi()(scope, receive, send)
        else:
            await self._application(scope, receive, send)


def _resolved(scope: Scope) -> ResolverMatch | None:
    """Return the match of this address in the project's URLs, or None."""
    try:
        return resolve(scope["path"].removeprefix(get_script_prefix(scope)))
    except Resolver404:
        return None
