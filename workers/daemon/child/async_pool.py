"""Run tasks as coroutines of one event loop: the child of the executor `async`.

Each attempt has a thread beside the loop, for sync tasks and for `sync_to_async`. A coroutine is
stopped by cancelling it. A sync task, or a coroutine that ignores the cancellation, makes the whole
child retire, as with the executor `thread`.
"""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import os
import socket
import traceback
from typing import NoReturn

from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.child import attempt, database, forks
from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.output_capture import (
    CapturedAttempt,
    context_attempt,
    flush_streams,
)
from taskmaster.workers.daemon.child.shared_state import SharedState
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.child.sql_thread import SqlThread
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.messages import CancelTask, Raised, RunTask, Succeeded, ToChild

_READ = 262_144


class IdleThreads:
    """Keep the threads of ended attempts for the next ones, for a short time."""

    def __init__(self) -> None:
        #: (time since which it is idle, thread), longest first.
        self._idle: list[tuple[float, SqlThread]] = []
        self._ending: asyncio.TimerHandle | None = None

    def take(self) -> SqlThread:
        """Return a thread for an attempt."""
        return self._idle.pop()[1] if self._idle else SqlThread()

    def give_back(self, thread: SqlThread) -> None:
        """Keep a thread after its attempt, unless one of its calls still runs."""
        if thread.is_busy:
            thread.end()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), thread))
        if self._ending is None and thread.is_started:
            self._ending = loop.call_later(database.IDLE_S, self._end)

    def _end(self) -> None:
        """End the threads that are idle for too long. Their connections close."""
        loop = asyncio.get_running_loop()
        until = loop.time() - database.IDLE_S
        while self._idle and self._idle[0][0] <= until:
            self._idle.pop(0)[1].end()
        self._ending = loop.call_later(database.IDLE_S, self._end) if self._idle else None


class AsyncPool:
    """Run the coroutines of one child."""

    def __init__(
        self,
        connection: socket.socket,
        outbox: ChildOutbox,
        task_runner: TaskRunner,
        state: SlotState,
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._task_runner = task_runner
        self._state = state
        self._shared = SharedState(state, outbox)
        self._threads = IdleThreads()
        self._decoder = messages.child_requests()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Run the tasks that the supervisor sends, until it closes the connection."""
        loop = asyncio.get_running_loop()
        forks.on_fork(lambda: _leave_loop(loop))
        self._state.remember()
        loop.add_reader(self._connection, self._receive)
        await self._closed.wait()

    def _receive(self) -> None:
        try:
            # The outbox uses blocking writes on the same socket. Only this read must not block.
            data = self._connection.recv(_READ, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            self._closed.set()
        for request in self._decoder.feed(data):
            self._handle(request)

    def _handle(self, request: ToChild) -> None:
        ident = request.id
        if isinstance(request, CancelTask):
            if ident in self._running:
                self._running[ident].cancel()
            return
        self._shared.begin()
        task = asyncio.get_running_loop().create_task(self._run(request))
        self._running[ident] = task
        task.add_done_callback(lambda _: self._running.pop(ident, None))

    async def _run(self, request: RunTask) -> None:
        thread = self._threads.take()
        if self._task_runner.is_async(request):
            report = await self._run_async(request, thread)
        else:
            captured = CapturedAttempt(request.id)
            report = await asyncio.get_running_loop().run_in_executor(
                thread, attempt.run, request, self._task_runner, self._state, captured
            )
        self._threads.give_back(thread)
        self._shared.end()
        self._outbox.post(report)

    async def _run_async(self, request: RunTask, thread: SqlThread) -> Succeeded | Raised:
        captured = CapturedAttempt(request.id)
        context_attempt.set(captured)
        decimal.setcontext(self._state.fresh_decimal_context())
        thread.enter()
        report = await self._task_runner.run_async(request)
        if captured.lines:
            flush_streams()
        self._state.restore_thread()
        if thread.is_used and not thread.is_busy:
            # A cancellation that arrives now is too late: the task has ended.
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.wrap_future(thread.reset())
        return report


def _leave_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let a process that a coroutine has forked run none of the other coroutines.

    It exits when its own coroutine ends or waits for the loop.
    """
    getattr(loop, "_ready", []).clear()
    loop.call_soon(os._exit, 1)


def run(
    connection: socket.socket,
    outbox: ChildOutbox,
    task_runner: TaskRunner,
    state: SlotState,
    _slots: int,
) -> NoReturn:
    """Run the event loop until the supervisor closes the connection."""
    state.streams.share(outbox)
    outbox.start()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        pool = loop.create_task(AsyncPool(connection, outbox, task_runner, state).run())
        while not pool.done():
            try:
                loop.run_until_complete(pool)
            except BaseException:
                # A task has stopped the loop, or an asyncio task of it has raised SystemExit. The
                # other attempts continue.
                traceback.print_exc()
        os._exit(0)
