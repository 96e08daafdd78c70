"""The child of the `async` pool: one event loop, a coroutine a task.

Sync tasks run in threads beside it. A coroutine is stopped by cancelling it; a task that does not
heed it, and a sync one, make the whole child retire as in the `threads` pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from asgiref.sync import sync_to_async

from workers.daemon import database, wire
from workers.daemon.child import capture, threads
from workers.daemon.child.execution import Call, Executor
from workers.daemon.child.outbox import Outbox

_READ = 262_144
#: Async tasks share the thread of sync_to_async and so its connections: tidied this often.
_TIDY_S = 1.0


class Loop:
    """The coroutines of one child."""

    def __init__(
        self, connection: socket.socket, outbox: Outbox, executor: Executor, slots: int
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._executor = executor
        self._threads = ThreadPoolExecutor(slots, "slot")
        self._decoder = wire.Decoder()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()
        self._tidied = 0.0

    async def run(self) -> None:
        """Runs what the supervisor sends until it closes the connection."""
        asyncio.get_running_loop().add_reader(self._connection, self._receive)
        await self._closed.wait()

    def _receive(self) -> None:
        try:
            # The outbox writes to the same socket and blocks: only this read must not.
            data = self._connection.recv(_READ, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            self._closed.set()
        for messages in self._decoder.feed(data):
            for message in messages:
                self._obey(message)

    def _obey(self, message: list[Any]) -> None:
        ident = message[1]
        if message[0] == "cancel":
            if ident in self._running:
                self._running[ident].cancel()
            return
        task = asyncio.get_running_loop().create_task(self._run(Call(*message)))
        self._running[ident] = task
        task.add_done_callback(lambda _: self._running.pop(ident, None))

    async def _run(self, call: Call) -> None:
        if self._executor.is_async(call):
            message = await self._run_async(call)
        else:
            loop = asyncio.get_running_loop()
            message = await loop.run_in_executor(
                self._threads, threads.run_in_thread, call, self._executor
            )
        self._outbox.post(message)

    async def _run_async(self, call: Call) -> list[Any]:
        mine = capture.Current(call.id)
        capture.current.set(mine)
        message = await self._executor.run_async(call)
        if mine.lines:
            capture.flush_streams()
        if time.monotonic() - self._tidied > _TIDY_S:
            self._tidied = time.monotonic()
            # A cancellation that comes now is too late: the task has ended.
            with contextlib.suppress(asyncio.CancelledError):
                await sync_to_async(database.tidy)()
        return message


def run(connection: socket.socket, outbox: Outbox, executor: Executor, slots: int) -> NoReturn:
    """Runs the loop until the supervisor closes the connection."""
    capture.capture_streams(outbox)
    outbox.start()

    async def main() -> None:
        await Loop(connection, outbox, executor, slots).run()
        os._exit(0)

    asyncio.run(main())
    os._exit(0)
