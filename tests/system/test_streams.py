"""Test the live streams of real web processes."""

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
from rest_framework.authtoken.models import Token

from benchmarks.sse import Refused, Stream
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.models import TaskSubscription
from tests.factories import stored
from tests.system.fleet import coordinator
from tests.system.web import ALL, Web, publish, read, token_with, web
from tests.system.workers import worker
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

VIEW = "taskmaster_tasks.view_task"


@asynccontextmanager
async def open_stream(web: Web, path: str, headers: dict[str, str]) -> Any:
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


async def test_a_new_client_gets_the_newest_250_events_and_then_new_ones() -> None:
    _, headers = await token_with(VIEW)
    last = await publish(1, 300)
    async with web() as one, open_stream(one, ALL, headers) as stream:
        assert await read(stream, last) == list(range(last - 249, last + 1))
        newest = await publish(301, 310)
        assert await read(stream, newest) == list(range(last + 1, newest + 1))


async def test_a_returning_client_gets_exactly_the_missed_events() -> None:
    _, headers = await token_with(VIEW)
    last = await publish(1, 20)
    async with web() as one:
        async with open_stream(one, ALL, headers) as stream:
            seen = (await stream.next("events")).id
        newest = await publish(21, 40)
        async with open_stream(one, ALL, {**headers, "Last-Event-ID": seen}) as stream:
            assert await read(stream, newest) == list(range(last + 1, newest + 1))
        async with open_stream(one, f"{ALL}?lastEventId=all:{newest - 3}", headers) as stream:
            assert await read(stream, newest) == list(range(newest - 2, newest + 1))


async def test_an_id_outside_the_buffer_is_answered_with_a_reset() -> None:
    _, headers = await token_with(VIEW)
    last = await publish(1, 5)
    ahead = {**headers, "Last-Event-ID": f"all:{last + 99}"}
    async with web() as one, open_stream(one, ALL, ahead) as stream:
        reset = await stream.next("stream-reset")
        assert reset.json() == {"channels": ["all"]}
        newest = await publish(6, 6)
        assert await read(stream, newest) == [newest]


async def test_two_web_processes_stream_the_same_events() -> None:
    _, headers = await token_with(VIEW)
    async with (
        web() as one,
        web() as other,
        open_stream(one, ALL, headers) as here,
        open_stream(other, ALL, headers) as there,
    ):
        await asyncio.gather(here.next("stream-open"), there.next("stream-open"))
        newest = await publish(1, 30)
        assert await read(here, newest) == await read(there, newest)


@pytest.mark.parametrize(
    ("path", "permissions", "status", "message"),
    [
        (ALL, None, 401, "credentials"),
        (ALL, (), 403, "taskmaster_tasks.view_task"),
        (f"{ALL}?channels=dashboard-workers", (VIEW,), 403, "taskmaster_workers.view_worker"),
        (f"{ALL}?channels=nothing", (VIEW,), 400, "must be all, dashboard"),
        (f"{ALL}?lastEventId=<script>", (VIEW,), 400, "Last-Event-ID"),
        (f"{ALL}?lastEventId=all:99999999999999999999", (VIEW,), 400, "Last-Event-ID"),
        (f"{ALL}?lastEventId=all:{'9' * 5_000}", (VIEW,), 400, "Last-Event-ID"),
        ("/api/tasks/1/events/", (), 403, "taskmaster_tasks.view_task"),
        ("/api/tasks/4711/events/", (VIEW,), 404, "4711"),
    ],
)
async def test_a_client_without_permission_gets_the_reason(
    path: str, permissions: tuple[str, ...] | None, status: int, message: str
) -> None:
    headers = {} if permissions is None else (await token_with(*permissions))[1]
    async with web() as one:
        with pytest.raises(Refused) as refusal:
            await Stream.open(one.port, path, headers)
    assert refusal.value.status == status
    assert message in refusal.value.body
    assert "Traceback" not in refusal.value.body


async def test_an_open_stream_uses_no_thread_and_no_database_connection() -> None:
    _, headers = await token_with(VIEW)
    held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    async with web() as one:
        process = psutil.Process(one.process.pid)
        async with open_stream(one, ALL, headers) as first:
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


async def test_a_listener_misses_no_event_when_its_connection_is_lost() -> None:
    _, headers = await token_with(VIEW)
    async with web() as one, open_stream(one, ALL, headers) as stream:
        await stream.next("stream-open")
        [ended] = await query(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'taskmaster-events'"
        )
        assert ended == 1
        newest = await publish(1, 20)
        assert await read(stream, newest) == list(range(newest - 19, newest + 1))


async def test_a_stream_ends_when_its_token_is_deleted() -> None:
    user, headers = await token_with(VIEW)
    async with (
        web(TASKMASTER_STREAM_CHECK_S="0.2") as one,
        open_stream(one, ALL, headers) as stream,
    ):
        await stream.next("stream-open")
        await Token.objects.filter(user=user).adelete()
        async with asyncio.timeout(10):
            async for _ in stream:
                pass


async def test_a_stream_ends_when_its_session_or_permission_ends() -> None:
    user, _ = await token_with(VIEW)
    browser = Client()
    await sync_to_async(browser.force_login)(user)
    cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
    async with web(TASKMASTER_STREAM_CHECK_S="0.2") as one:
        async with open_stream(one, ALL, cookie) as stream:
            await stream.next("stream-open")
            await sync_to_async(user.user_permissions.clear)()
            async with asyncio.timeout(10):
                async for _ in stream:
                    pass
        await user.user_permissions.aadd(await Permission.objects.aget(codename="view_task"))
        async with open_stream(one, ALL, cookie) as stream:
            await stream.next("stream-open")
            await sync_to_async(browser.logout)()
            async with asyncio.timeout(10):
                async for _ in stream:
                    pass


async def test_a_watched_task_has_single_events_even_under_load() -> None:
    _, headers = await token_with(VIEW)
    [task_id, *_] = await sync_to_async(stored)(1, kwargs='{"command":"sleep 1; echo done"}')
    async with web() as one, open_stream(one, f"/api/tasks/{task_id}/events/", headers) as stream:
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
    assert kinds == [EventKind.PICKED, EventKind.STARTED, EventKind.COMPLETE]


async def until_watched(task_id: int) -> None:
    await until(TaskSubscription.objects.filter(task_id=task_id).aexists, 10)


async def test_the_dashboard_stream_begins_complete_and_continues_with_changes() -> None:
    _, headers = await token_with(VIEW, "taskmaster_workers.view_worker")
    path = f"{ALL}?channels=dashboard,dashboard-workers"
    async with web() as one, open_stream(one, path, headers) as stream:
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
