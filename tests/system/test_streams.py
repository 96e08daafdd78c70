"""The live streams of real web processes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from psycopg import AsyncConnection
from rest_framework.authtoken.models import Token

from benchmarks.sse import Refused, Stream
from coordinator.database import conninfo
from tasks import store
from tasks.events.event import Kind
from tasks.models import Watch
from tests.system.fleet import coordinator
from tests.system.web import Web, read, token_with, web
from tests.system.workers import worker
from tests.tasks.events.sample import an_event
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db(transaction=True)

ALL = "/api/logs/stream"
VIEW = "tasks.view_task"


async def publish(first: int, last: int, **fields: object) -> int:
    """Events of these tasks; returns the id of the last."""
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as own:
        for task_id in range(first, last + 1):
            await store.publish(own, [an_event(task_id=task_id, **fields)])
        row = await (await own.execute("SELECT max(id) FROM tasks_event")).fetchone()
    assert row is not None
    return int(row[0])


@asynccontextmanager
async def opened(web: Web, path: str, headers: dict[str, str]) -> Any:
    stream = await Stream.open(web.port, path, headers)
    try:
        yield stream
    finally:
        stream.close()


@sync_to_async
def query(text: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchone()


async def test_a_new_client_gets_the_newest_250_and_then_what_happens() -> None:
    _, headers = await token_with(VIEW)
    last = await publish(1, 300)
    async with web() as one, opened(one, ALL, headers) as stream:
        assert await read(stream, last) == list(range(last - 249, last + 1))
        newest = await publish(301, 310)
        assert await read(stream, newest) == list(range(last + 1, newest + 1))


async def test_who_comes_back_gets_exactly_what_was_missed() -> None:
    _, headers = await token_with(VIEW)
    last = await publish(1, 20)
    async with web() as one:
        async with opened(one, ALL, headers) as stream:
            seen = (await stream.next("events")).id
        newest = await publish(21, 40)
        async with opened(one, ALL, {**headers, "Last-Event-ID": seen}) as stream:
            assert await read(stream, newest) == list(range(last + 1, newest + 1))
        async with opened(one, f"{ALL}?lastEventId=all:{newest - 3}", headers) as stream:
            assert await read(stream, newest) == list(range(newest - 2, newest + 1))


async def test_an_id_that_is_not_kept_is_answered_with_a_reset() -> None:
    _, headers = await token_with(VIEW)
    last = await publish(1, 5)
    ahead = {**headers, "Last-Event-ID": f"all:{last + 99}"}
    async with web() as one, opened(one, ALL, ahead) as stream:
        reset = await stream.next("stream-reset")
        assert reset.json() == {"channels": ["all"]}
        newest = await publish(6, 6)
        assert await read(stream, newest) == [newest]


async def test_two_web_processes_show_the_same() -> None:
    _, headers = await token_with(VIEW)
    async with (
        web() as one,
        web() as other,
        opened(one, ALL, headers) as here,
        opened(other, ALL, headers) as there,
    ):
        await asyncio.gather(here.next("stream-open"), there.next("stream-open"))
        newest = await publish(1, 30)
        assert await read(here, newest) == await read(there, newest)


@pytest.mark.parametrize(
    ("path", "permissions", "status", "words"),
    [
        (ALL, None, 401, "credentials"),
        (ALL, (), 403, "tasks.view_task"),
        (f"{ALL}?channels=dashboard-workers", (VIEW,), 403, "workers.view_worker"),
        (f"{ALL}?channels=nothing", (VIEW,), 400, "must be all, dashboard"),
        (f"{ALL}?lastEventId=<script>", (VIEW,), 400, "Last-Event-ID"),
        (f"{ALL}?lastEventId=all:99999999999999999999", (VIEW,), 400, "Last-Event-ID"),
        (f"{ALL}?lastEventId=all:{'9' * 5_000}", (VIEW,), 400, "Last-Event-ID"),
        ("/api/tasks/1/events/", (), 403, "tasks.view_task"),
        ("/api/tasks/4711/events/", (VIEW,), 404, "4711"),
    ],
)
async def test_who_may_not_read_is_told_why(
    path: str, permissions: tuple[str, ...] | None, status: int, words: str
) -> None:
    headers = {} if permissions is None else (await token_with(*permissions))[1]
    async with web() as one:
        with pytest.raises(Refused) as refusal:
            await Stream.open(one.port, path, headers)
    assert refusal.value.status == status
    assert words in refusal.value.body
    assert "Traceback" not in refusal.value.body


async def test_an_open_stream_holds_no_thread_and_no_connection() -> None:
    _, headers = await token_with(VIEW)
    held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    async with web() as one:
        process = psutil.Process(one.process.pid)
        async with opened(one, ALL, headers) as first:
            await first.next("stream-open")
            threads, [sessions] = process.num_threads(), await query(held)
            streams = [await Stream.open(one.port, ALL, headers) for _ in range(60)]
            await asyncio.gather(*(stream.next("stream-open") for stream in streams))
            newest = await publish(1, 1)
            assert await asyncio.gather(*(read(stream, newest) for stream in streams)) == [
                [newest]
            ] * len(streams)
            assert process.num_threads() <= threads + 3
            assert (await query(held))[0] <= sessions + 2
            for stream in streams:
                stream.close()


async def test_a_listener_that_lost_its_connection_misses_nothing() -> None:
    _, headers = await token_with(VIEW)
    async with web() as one, opened(one, ALL, headers) as stream:
        await stream.next("stream-open")
        [ended] = await query(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'taskmaster-events'"
        )
        assert ended == 1
        newest = await publish(1, 20)
        assert await read(stream, newest) == list(range(newest - 19, newest + 1))


async def test_a_stream_ends_with_its_token() -> None:
    user, headers = await token_with(VIEW)
    async with web(TASKMASTER_STREAM_CHECK_S="0.2") as one, opened(one, ALL, headers) as stream:
        await stream.next("stream-open")
        await Token.objects.filter(user=user).adelete()
        async with asyncio.timeout(10):
            async for _ in stream:
                pass


async def test_a_stream_ends_with_its_session_and_with_its_permission() -> None:
    user, _ = await token_with(VIEW)
    browser = Client()
    await sync_to_async(browser.force_login)(user)
    cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
    async with web(TASKMASTER_STREAM_CHECK_S="0.2") as one:
        async with opened(one, ALL, cookie) as stream:
            await stream.next("stream-open")
            await sync_to_async(user.user_permissions.clear)()
            async with asyncio.timeout(10):
                async for _ in stream:
                    pass
        await user.user_permissions.aadd(await Permission.objects.aget(codename="view_task"))
        async with opened(one, ALL, cookie) as stream:
            await stream.next("stream-open")
            await sync_to_async(browser.logout)()
            async with asyncio.timeout(10):
                async for _ in stream:
                    pass


async def test_a_watched_task_is_told_line_by_line_amid_a_flood() -> None:
    _, headers = await token_with(VIEW)
    [task_id, *_] = await sync_to_async(stored)(1, kwargs='{"command":"sleep 1; echo done"}')
    async with web() as one, opened(one, f"/api/tasks/{task_id}/events/", headers) as stream:
        await stream.next("stream-open")
        await until_watched(task_id)
        async with coordinator() as address, worker(address, "--concurrency", "2"):
            await sync_to_async(stored)(300)
            kinds: list[str] = []
            async with asyncio.timeout(30):
                while "complete" not in kinds:
                    message = await stream.next("events")
                    kinds += [each["kind"] for each in message.json()["events"]]
                    assert {each["task_id"] for each in message.json()["events"]} == {task_id}
    assert kinds == [Kind.PICKED, Kind.STARTED, Kind.COMPLETE]


async def until_watched(task_id: int) -> None:
    async with asyncio.timeout(10):
        while not await Watch.objects.filter(task_id=task_id).aexists():
            await asyncio.sleep(0.01)


async def test_the_dashboard_comes_whole_and_then_only_what_changes() -> None:
    _, headers = await token_with(VIEW, "workers.view_worker")
    path = f"{ALL}?channels=dashboard,dashboard-workers"
    async with web() as one, opened(one, path, headers) as stream:
        shown: dict[str, str] = {}
        async with asyncio.timeout(10):
            while {"counters", "tasks", "activity", "workers", "charts"} - shown.keys():
                shown |= (await stream.next("fragments")).json()
            await sync_to_async(stored)(1)
            await publish(1, 1)
            changed: dict[str, str] = {}
            while "tasks" not in changed:
                changed = (await stream.next("fragments")).json()
    assert "workers" not in changed
    assert "shell" in changed["tasks"]
