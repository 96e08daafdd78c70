"""Run a real web process on the test database, and read its streams."""

from __future__ import annotations

import asyncio
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from psycopg import AsyncConnection

from benchmarks.sse import Stream
from taskmaster.coordinator.support.database import conninfo
from taskmaster.taskmaster_site.demo.process_group import web_command
from taskmaster.tasks.store import async_store as store
from tests.factories import token_header, user_with
from tests.system.fleet import ROOT, end, environment, free_port
from tests.tasks.events.sample import an_event

#: The stream of all events.
ALL = "/api/logs/stream"


@dataclass(frozen=True, slots=True)
class Web:
    """A running web process: its port and process."""

    process: subprocess.Popen[str]
    port: int

    def answers(self) -> bool:
        """Return whether it answers."""
        url = f"http://127.0.0.1:{self.port}/healthz"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False


@asynccontextmanager
async def web(*options: str, **extra: str) -> AsyncIterator[Web]:
    """Run a web process until the context ends; check that its log contains no traceback.

    `options` are daphne's.
    """
    port = free_port()
    process = subprocess.Popen(
        [*web_command(port), *options],
        cwd=ROOT,
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    served = Web(process, port)
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(served.answers):
                assert process.poll() is None
                await asyncio.sleep(0.05)
        yield served
    finally:
        await asyncio.to_thread(end, process)
        assert process.stdout is not None
        output = process.stdout.read()
    assert "Traceback" not in output, output


@sync_to_async
def token_with(*permissions: str) -> tuple[User, dict[str, str]]:
    """Create a user with these permissions; return the user and an Authorization header."""
    user = user_with(*permissions)
    return user, token_header(user)


async def read(stream: Stream, until_id: int, within_s: float = 10.0) -> list[int]:
    """Return the ids of the events up to this one."""
    ids: list[int] = []
    async with asyncio.timeout(within_s):
        while not ids or ids[-1] < until_id:
            ids += [each["id"] for each in (await stream.next("events")).json()["events"]]
    return ids


async def publish(first: int, last: int, **fields: object) -> int:
    """Publish events of these tasks; return the id of the last one."""
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as own:
        for task_id in range(first, last + 1):
            await store.publish_events(own, [an_event(task_id=task_id, **fields)])
        row = await (await own.execute("SELECT max(id) FROM taskmaster_tasks_event")).fetchone()
    assert row is not None
    return int(row[0])
