"""Where the WebSockets are."""

from __future__ import annotations

from typing import Any

from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from taskmaster_site.console.consumer import Console

_urls: list[Any] = [
    path("ws/tasks/<int:task_id>/console/", Console.as_asgi()),
    re_path("", WebsocketDenier.as_asgi()),
]
sockets = URLRouter(_urls)
