"""Test the console with daphne, a coordinator and a worker, like a browser."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest
from asgiref.sync import sync_to_async
from rest_framework.authtoken.models import Token

from tests.factories import user_with
from tests.system.fleet import ROOT, coordinator, end, environment, free_port
from tests.system.websocket import Closed, WebSocket, websocket
from tests.system.workers import MODULE, shell, worker
from tests.waiting import until_finished

pytestmark = pytest.mark.django_db(transaction=True)

EVERYTHING = (
    "taskmaster_tasks.view_task",
    "taskmaster_tasks.change_task",
    "taskmaster_tasks.submit_shell",
)


class Web:
    """A daphne, and a token for it."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        self.process = psutil.Process(process.pid)
        self.port = port
        self._token = token

    @asynccontextmanager
    async def console(self, task_id: int) -> AsyncIterator[WebSocket]:
        path = f"/ws/tasks/{task_id}/console/"
        async with websocket(self.port, path, Authorization=f"Token {self._token}") as socket:
            yield socket


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    port = free_port()
    token = await Token.objects.acreate(user=await sync_to_async(user_with)(*EVERYTHING))
    address = ("-b", "127.0.0.1", "-p", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "daphne", *address, "taskmaster.taskmaster_site.asgi:application"],
        env=environment(TASKMASTER_TASK_MODULES=MODULE),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield Web(process, port, token.key)
    finally:
        code = await asyncio.to_thread(end, process)
        assert process.stdout is not None
        output = process.stdout.read()

    assert code == 0, output
    assert "Traceback" not in output, output


async def test_the_console_shows_output_and_can_cancel_and_retry() -> None:
    async with coordinator() as address, worker(address), web() as site:
        task_id = await shell("for n in 1 2 3; do echo line $n; sleep 0.2; done; sleep 60")
        async with site.console(task_id) as socket:
            assert (await socket.until("attempt"))["worker"] == "heron"
            text = ""
            while "line 3" not in text:
                frame = await socket.until("output")
                text += "".join(chunk["text"] for chunk in frame["chunks"])
                socket.ack(frame)
            socket.send({"type": "cancel"})
            assert (await socket.until("answer"))["ok"]
            await socket.until("end")
            assert (await until_finished(task_id)).status == "cancelled"
            socket.send({"type": "retry"})
            assert (await socket.until("attempt"))["attempt"] == 2
            assert (await socket.until("output"))["chunks"][0]["text"].startswith("line 1")
            socket.send({"type": "cancel"})
            assert (await socket.until("answer"))["ok"]
    assert text == "line 1\nline 2\nline 3\n"


async def test_close_codes_reach_the_client_and_foreign_origins_are_refused() -> None:
    async with web() as site:
        async with site.console(999) as socket:
            with pytest.raises(Closed) as caught:
                await socket.receive()
            assert caught.value.code == 4404
        async with websocket(site.port, "/ws/tasks/1/console/", Authorization="Token x") as socket:
            with pytest.raises(Closed) as caught:
                await socket.receive()
            assert caught.value.code == 4401
        with pytest.raises(Closed):
            async with websocket(site.port, "/ws/tasks/1/console/", Origin="http://evil.example"):
                pass


async def test_idle_readers_cost_little_and_a_flooding_client_is_closed() -> None:
    async with coordinator() as address, worker(address), web() as site:
        task_id = await shell("yes 0123456789abcdef | head -c 200000")
        await until_finished(task_id)
        async with site.console(task_id) as socket:
            await socket.until("output")
            before = site.process.memory_info().rss
            async with AsyncExitStack() as stack:
                for _ in range(20):
                    idle = await stack.enter_async_context(site.console(task_id))
                    # The client reads one frame and then stops: further frames wait in the server.
                    await idle.receive()
                await socket.until("end")
                assert site.process.memory_info().rss - before < 20 * 2**20
            async with site.console(task_id) as flooding, site.console(task_id) as huge:
                assert await flooding.flood('{"type": "nonsense"}', 500_000) < 500_000
                await huge.flood("x" * 65_536, 1_000)
                with pytest.raises((Closed, ConnectionError, asyncio.IncompleteReadError)):
                    await huge.until("nothing")
            assert site.process.memory_info().rss - before < 30 * 2**20
            # Other clients are not affected.
            socket.send({"type": "cancel"})
            assert (
                "only tasks that have not ended can be cancelled"
                in (await socket.until("answer"))["text"]
            )
