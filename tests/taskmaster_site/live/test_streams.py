"""Stream stored and new events to a reader that a view has admitted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from psycopg import AsyncConnection
from rest_framework.authtoken.models import Token

from taskmaster.coordinator.models import Coordinator
from taskmaster.coordinator.support.database import conninfo
from taskmaster.taskmaster_site.live import streams
from taskmaster.taskmaster_site.live.runtime import live
from taskmaster.taskmaster_site.live.streams import StreamServer
from taskmaster.tasks.events.channels import SCOPE_KEY, StreamGrant
from taskmaster.tasks.models import TaskSubscription
from taskmaster.tasks.store import async_store as store
from tests.factories import user_with
from tests.tasks.events.sample import an_event

pytestmark = pytest.mark.django_db(transaction=True)

SCOPE = {"type": "http", "path": "/anywhere/", "method": "GET"}


class Client:
    """A client of an ASGI application."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def event(self, name: str) -> dict[str, Any]:
        """Return the data of the next event of this name."""
        while True:
            fields = (await self.next())["body"].decode().strip().split("\n")
            if f"event: {name}" in fields:
                [data] = [each for each in fields if each.startswith("data: ")]
                found: dict[str, Any] = json.loads(data.removeprefix("data: "))
                return found


def admitting(grant: StreamGrant) -> Any:
    """Return an application whose view leaves the grant."""

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        scope[SCOPE_KEY] = grant
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return application


@asynccontextmanager
async def streaming(*channels: str, **position: int) -> AsyncIterator[Client]:
    user = await sync_to_async(user_with)("taskmaster_tasks.view_task")
    token = await Token.objects.acreate(user=user)
    grant = StreamGrant(user, ("token", token.key), list(channels), position)
    client = Client()
    server = StreamServer(admitting(grant))
    task = asyncio.create_task(server(dict(SCOPE), client.receive, client.send))
    try:
        yield client
    finally:
        client.left.set()
        async with asyncio.timeout(10):
            await task


async def publish(*task_ids: int) -> int:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as own:
        await store.publish_events(own, [an_event(task_id=task_id) for task_id in task_ids])
        row = await (await own.execute("SELECT max(id) FROM taskmaster_tasks_event")).fetchone()
    assert row is not None
    return int(row[0])


def tasks_of(data: dict[str, Any]) -> list[int]:
    return [event["task_id"] for event in data["events"]]


async def test_the_stream_replaces_the_response_of_the_view() -> None:
    async with streaming("all") as client:
        start = await client.next()
        assert (start["type"], start["status"]) == ("http.response.start", 200)
        assert b"stream-open" in (await client.next())["body"]


async def test_stored_events_are_sent_before_new_ones() -> None:
    await publish(1, 2)
    async with streaming("all") as client:
        await client.next()
        assert tasks_of(await client.event("events"))[-2:] == [1, 2]
        await publish(3)
        assert tasks_of(await client.event("events")) == [3]


async def test_a_position_that_is_not_kept_is_answered_with_a_reset() -> None:
    last = await publish(1)
    async with streaming("all", all=last + 99) as client:
        await client.next()
        assert await client.event("stream-reset") == {"channels": ["all"]}
        await publish(2)
        assert tasks_of(await client.event("events")) == [2]


async def test_a_stream_of_a_task_subscribes_to_it_while_it_is_open() -> None:
    async with streaming("task-7") as client:
        await client.next()
        async with asyncio.timeout(10):
            while not await TaskSubscription.objects.filter(task_id=7).aexists():
                await asyncio.sleep(0.02)
        assert len(live().reauthorizer) == 1
    assert len(live().reauthorizer) == 0
    async with asyncio.timeout(10):
        while await TaskSubscription.objects.filter(task_id=7).aexists():
            await asyncio.sleep(0.02)


async def test_a_keep_alive_states_the_links_regularly_and_when_one_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "_KEEP_ALIVE_S", 0.05)
    async with streaming("all") as client:
        await client.next()
        for _ in range(3):
            assert (await client.event("keep-alive"))["database"]["error"] == ""
        monkeypatch.setattr(streams, "_KEEP_ALIVE_S", 60.0)
        await client.event("keep-alive")
        # A coordinator starts: the next keep-alive would be due in a minute.
        await Coordinator.objects.acreate(
            id=uuid4(), lock_key=1, address="127.0.0.1:1", host="h", pid=1
        )
        while (await client.event("keep-alive"))["coordinators"]["online"] != 1:
            pass


async def test_a_response_without_a_grant_is_passed_on() -> None:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    client = Client()
    await StreamServer(application)(dict(SCOPE), client.receive, client.send)
    assert ((await client.next())["status"], (await client.next())["body"]) == (403, b"no")


async def test_without_the_database_the_answer_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_READY_S", 0.1)
    live().listener._info = "postgresql://127.0.0.1:1/nothing"
    async with streaming("all") as client:
        start = await client.next()
        assert start["status"] == 503
        assert json.loads((await client.next())["body"])["status"] == 503


async def test_the_id_of_each_message_names_the_position_of_every_channel() -> None:
    async with streaming("all", "task-7") as client:
        await client.next()
        await client.next()
        last = await publish(7)
        ids = []
        async with asyncio.timeout(10):
            while len(ids) < 2:
                body = (await client.next())["body"].decode()
                ids += [
                    line.removeprefix("id: ")
                    for line in body.split("\n")
                    if line.startswith("id: ") and str(last) in line
                ]
    assert ids[-1] == f"all:{last},task-7:{last}"
