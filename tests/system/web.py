"""A real web process on the test database, and those who read its streams."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from benchmarks.sse import Stream
from tests.system.fleet import ROOT, end, environment, free_port
from tests.tasks.api.people import user_with


@dataclass(frozen=True, slots=True)
class Web:
    """Where it is."""

    process: subprocess.Popen[str]
    port: int

    def answers(self) -> bool:
        """Whether it is up."""
        url = f"http://127.0.0.1:{self.port}/healthz"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False


@asynccontextmanager
async def web(**extra: str) -> AsyncIterator[Web]:
    """A web process that answers, stopped at the end; its log holds no traceback."""
    port = free_port()
    endpoint = f"tcp:port={port}:interface=127.0.0.1:backlog=2048"
    daphne = ["-m", "daphne", "-v", "0", "-e", endpoint, "taskmaster_site.asgi:application"]
    process = subprocess.Popen(
        [sys.executable, *daphne],
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
    """A user with these permissions, and the header that proves it."""
    user = user_with(*permissions)
    token = Token.objects.create(user=user)
    return user, {"Authorization": f"Token {token.key}"}


async def read(stream: Stream, until_id: int, within_s: float = 10.0) -> list[int]:
    """The ids of the events up to this one."""
    ids: list[int] = []
    async with asyncio.timeout(within_s):
        while not ids or ids[-1] < until_id:
            ids += [each["id"] for each in (await stream.next("events")).json()["events"]]
    return ids
