"""Test the site below a prefix, as behind a proxy that forwards the whole path."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from benchmarks.sse import Stream
from tests.factories import stored
from tests.foreign.browser import Answer, Visitor, addresses
from tests.system.web import web
from tests.system.websocket import websocket

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "/ops"
PASSWORD = "correct horse battery"


@sync_to_async
def superuser() -> str:
    user = User.objects.create_superuser("ada", password=PASSWORD)
    return str(Token.objects.create(user=user).key)


async def test_every_page_and_link_is_below_the_prefix() -> None:
    await superuser()
    [task_id] = await sync_to_async(stored)()
    async with web("--root-path", PREFIX) as site:
        visitor = Visitor(f"http://127.0.0.1:{site.port}")

        style = await asyncio.to_thread(visitor.get, f"{PREFIX}/static/taskmaster/tokens.css")
        assert style.status == HTTPStatus.OK

        def pages() -> list[tuple[str, Answer]]:
            visitor.log_in(f"{PREFIX}/login/", "ada", PASSWORD)
            paths = (
                *("/", "/tasks/", f"/tasks/{task_id}/"),
                *("/admin/", "/admin/taskmaster_tasks/task/"),
            )
            return [(path, visitor.get(PREFIX + path)) for path in paths]

        for path, page in await asyncio.to_thread(pages):
            assert page.status == HTTPStatus.OK, path
            found = addresses(page.text)
            assert f"{PREFIX}/static/taskmaster/tokens.css" in found, path
            assert not [each for each in found if not each.startswith(f"{PREFIX}/")], path


async def test_streams_and_consoles_are_below_the_prefix() -> None:
    header = {"Authorization": f"Token {await superuser()}"}
    [task_id] = await sync_to_async(stored)()
    async with web("--root-path", PREFIX) as site:
        path = f"{PREFIX}/api/logs/stream?channels=dashboard"
        stream = await Stream.open(site.port, path, header)
        try:
            shown: dict[str, Any] = {}
            async with asyncio.timeout(20):
                while not shown.keys() >= {"tasks", "queues"}:
                    shown |= (await stream.next("fragments")).json()
        finally:
            stream.close()
        # Pushed fragments are rendered outside a request.
        links = addresses(shown["tasks"] + shown["queues"])
        assert f"{PREFIX}/tasks/{task_id}/" in links
        assert not [each for each in links if not each.startswith(f"{PREFIX}/")]
        console = f"{PREFIX}/ws/tasks/{task_id}/console/"
        async with websocket(site.port, console, **header) as socket:
            assert (await socket.receive())["type"] in ("reason", "status", "attempt", "waiting")
