"""Serve streams and consoles in front of a project's application."""

from __future__ import annotations

from typing import Any

import pytest
from channels.testing.websocket import WebsocketCommunicator
from django.core.asgi import get_asgi_application

from taskmaster.taskmaster_site.application import TaskMasterApplication

pytestmark = pytest.mark.django_db(transaction=True)


class Project:
    """Record the types of the connections that reach the project."""

    def __init__(self) -> None:
        self.types: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.types.append(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})


async def nothing(*_: Any) -> Any:
    return {}


async def test_requests_and_lifespan_reach_the_project() -> None:
    project = Project()
    application = TaskMasterApplication(project)
    for kind in ("lifespan", "http"):
        await application({"type": kind, "path": "/", "headers": []}, nothing, nothing)
    assert project.types == ["lifespan", "http"]


@pytest.mark.parametrize("path", ["/ws/unknown/", "/api/tasks/"])
async def test_other_websockets_reach_the_project(path: str) -> None:
    project = Project()
    socket = WebsocketCommunicator(TaskMasterApplication(project), path)
    assert (await socket.connect())[0] is False
    assert project.types == ["websocket"]


async def test_other_websockets_are_denied_where_the_project_is_django_itself() -> None:
    socket = WebsocketCommunicator(TaskMasterApplication(get_asgi_application()), "/ws/unknown/")
    assert (await socket.connect())[0] is False


async def test_a_console_is_served_here() -> None:
    project = Project()
    socket = WebsocketCommunicator(
        TaskMasterApplication(project), "/ws/tasks/7/console/", [(b"host", b"localhost:8000")]
    )
    assert (await socket.connect())[0] is True
    assert await socket.receive_output(10) == {"type": "websocket.close", "code": 4401}
    assert project.types == []
