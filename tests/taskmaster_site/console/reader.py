"""Readers of consoles, and tasks with output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from asgiref.sync import sync_to_async
from channels.testing.websocket import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from rest_framework.authtoken.models import Token

from taskmaster.taskmaster_site.asgi import application
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.statements import statement
from tests.factories import stored, user_with

HOST = (b"host", b"localhost:8000")
HERE = (b"origin", b"http://localhost:8000")
EVERYTHING = (
    "taskmaster_tasks.view_task",
    "taskmaster_tasks.change_task",
    "taskmaster_tasks.submit_shell",
)
SOON_S = 10


class Reader(WebsocketCommunicator):
    """Read and acknowledge the frames of a console."""

    async def next(self) -> dict[str, Any]:
        """Return the next frame."""
        frame: dict[str, Any] = await self.receive_json_from(SOON_S)
        return frame

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next frame of this type."""
        while (frame := await self.next())["type"] != kind:
            pass
        return frame

    async def ack(self, frame: dict[str, Any]) -> None:
        await self.send_json_to({"type": "ack", "cursor": frame["cursor"]})

    async def text(self) -> str:
        """Return the output up to the end frame. Acknowledge each output frame."""
        shown = ""
        while (frame := await self.next())["type"] != "end":
            if frame["type"] == "output":
                shown += "".join(chunk["text"] for chunk in frame["chunks"])
                await self.ack(frame)
        return shown

    async def code(self) -> int:
        """Return the close code."""
        while True:
            message = await self.receive_output(SOON_S)
            if message["type"] == "websocket.close":
                return int(message["code"])


def address(task_id: object, query: str = "") -> str:
    return f"/ws/tasks/{task_id}/console/{query}"


@asynccontextmanager
async def console(
    task_id: object, query: str = "", *, user: User | None = None
) -> AsyncIterator[Reader]:
    """Open a console with a token of `user`, by default of a user with all permissions."""
    user = user or await sync_to_async(user_with)(*EVERYTHING)
    token, _ = await Token.objects.aget_or_create(user=user)
    headers = [HOST, (b"authorization", f"Token {token.key}".encode())]
    reader = Reader(application, address(task_id, query), headers)
    assert (await reader.connect(SOON_S))[0]
    try:
        yield reader
    finally:
        with suppress(asyncio.CancelledError):
            await reader.disconnect(timeout=SOON_S)


@sync_to_async
def started(attempt: int = 1, lease: int = 1, **fields: Any) -> int:
    [task_id] = stored()
    Task.objects.filter(pk=task_id).update(
        status="started", attempt=attempt, lease=lease, worker="heron", **fields
    )
    return task_id


@sync_to_async
def prints(
    task_id: int, *texts: str, lease: int = 1, attempt: int = 1, stream: str = "stdout"
) -> None:
    """Store output and notify the web processes, as a coordinator does."""
    first = TaskOutput.objects.filter(task_id=task_id, lease=lease).count()
    TaskOutput.objects.bulk_create(
        TaskOutput(task_id=task_id, lease=lease, attempt=attempt, seq=seq, stream=stream, text=text)
        for seq, text in enumerate(texts, first)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement("notify_output"), {"ids": str(task_id)})


@sync_to_async
def becomes(task_id: int, **fields: Any) -> None:
    Task.objects.filter(pk=task_id).update(**fields)
    with connection.cursor() as cursor:
        cursor.execute(statement("notify_output"), {"ids": str(task_id)})


async def code_of(path: str, *headers: tuple[bytes, bytes]) -> int | None:
    """Return the close code, or None if the handshake was refused."""
    reader = Reader(application, path, [HOST, *headers])
    accepted, _ = await reader.connect(SOON_S)
    code = await reader.code() if accepted else None
    await reader.disconnect(timeout=SOON_S)
    return code


def cookie(client: Client) -> tuple[bytes, bytes]:
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    return b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()


@sync_to_async
def logged_in(*permissions: str) -> tuple[User, Client]:
    user, client = user_with(*permissions), Client()
    client.force_login(user)
    return user, client
