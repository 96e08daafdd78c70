"""Manage one forked Python child from the supervisor: its socket and its pipes."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon import messages, wire
from taskmaster.workers.daemon.attempt import Attempt, Ending, Failed
from taskmaster.workers.daemon.fork_server.client import ForkServerClient
from taskmaster.workers.daemon.messages import (
    FromChild,
    ProcessEnd,
    Raised,
    StartRefused,
    Succeeded,
    ToChild,
)
from taskmaster.workers.daemon.resources import memory_file
from taskmaster.workers.daemon.slots.output_pipe import OutputPipe

log = logging.getLogger(__name__)

#: Longest time that the socket of a dead child may stay open. A process that has left the tree of
#: the child may hold it.
_EOF_WAIT_S = 0.5
#: Time that a child has to exit after its socket closed.
_EXIT_WAIT_S = 1.0


def ending_of_report(report: Succeeded | Raised) -> Ending:
    """Return the ending of an attempt from its child's report."""
    return report if isinstance(report, Succeeded) else Failed.from_exception(report)


def ending_of_exit(end: ProcessEnd) -> Failed:
    """Return the ending of an attempt whose process died or could not be started."""
    if isinstance(end, StartRefused):
        return Failed(pb.EXIT_CLASS_EXIT_CODE, end.message, code=end.code)
    if end.oom:
        return Failed(pb.EXIT_CLASS_OUT_OF_MEMORY, "killed by the kernel: out of memory", code=9)
    if end.code < 0:
        return Failed(pb.EXIT_CLASS_SIGNAL, f"killed by {signal_name(-end.code)}", code=-end.code)
    return Failed(
        pb.EXIT_CLASS_EXIT_CODE,
        f"the worker process exited with code {end.code} during the task",
        code=end.code,
    )


def signal_name(number: int) -> str:
    """Return the name of a signal, for example SIGSEGV for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class ChildConnection(asyncio.Protocol):
    """Fork one child and connect to it.

    `on_report` receives each report. `on_exit` is called once, when the child has exited and its
    reports and output are read.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        executor: str,
        slots: int,
        on_report: Callable[[ChildConnection, FromChild], None],
        on_exit: Callable[[ChildConnection, ProcessEnd], None],
        on_output: Callable[[ChildConnection, str, bytes], bool],
    ) -> None:
        self._fork_server = fork_server
        self._on_report = on_report
        self._on_exit = on_exit
        self._decoder = messages.child_reports()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._end: ProcessEnd | None = None
        self._eof = False
        self._eof_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        #: The child gets no new attempts. It is being killed, or will be when its attempts have
        #: ended.
        self.retired = False
        #: Number of attempts that were handed to the child.
        self.begun = 0
        #: Attempts that the child is executing, by id.
        self.attempts: dict[int, Attempt] = {}
        self._pipes = [
            OutputPipe(lambda data: on_output(self, "stdout", data)),
            OutputPipe(lambda data: on_output(self, "stderr", data)),
        ]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        stdout, stderr = (pipe.writing_end for pipe in self._pipes)
        self.id = fork_server.fork(self, executor, slots, theirs.detach(), stdout, stderr)
        self._connecting = self._loop.create_task(self._connect(ours))

    async def _connect(self, connection: socket.socket) -> None:
        file = await memory_file.receive(connection)
        if file is not None:
            self._fork_server.add_memory_file(self.id, file)
        await self._loop.create_unix_connection(lambda: self, sock=connection)

    def send(self, requests: Sequence[ToChild]) -> None:
        """Send requests to the child.

        Requests for a child that is still being forked wait in its socket.
        """
        data = wire.encode(requests)
        if self._transport is None:
            self._unsent.append(data)
        elif not self._transport.is_closing():
            # If the transport is closing, the child is dying and its attempts end with it.
            self._transport.write(data)

    def kill(self, grace_s: float) -> None:
        """Kill the child and its descendants after the grace."""
        self.retired = True
        self._fork_server.kill(self.id, grace_s)

    def read_available(self) -> None:
        """Read the bytes that are in the pipes now."""
        for pipe in self._pipes:
            pipe.read_available()

    # ---- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the requests that were made before the socket was connected."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        for data in self._unsent:
            self._transport.write(data)  # type: ignore[union-attr]
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        """Pass the complete reports on."""
        try:
            reports = self._decoder.feed(data)
        except wire.BrokenFrame as error:
            # A task wrote into the socket. Reports from this child are no longer reliable.
            log.error(
                "invalid message from a child, killing it",
                extra={"child": self.id, "error": str(error)},
            )
            self.kill(0)
            return
        for report in reports:
            self._on_report(self, report)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the socket: the child is dying, or a task closed its socket."""
        self._eof = True
        if self._end is None:
            self.retired = True
            self._loop.call_later(_EXIT_WAIT_S, self._fork_server.kill, self.id, 0)
        else:
            self._finish()

    # ---- Watcher of the fork server ---------------------------------------------------------

    def exited(self, end: ProcessEnd) -> None:
        """Handle the exit of the process. Its last reports may still be in the socket."""
        self.retired = True
        self._end = end
        if self._eof:
            self._finish()
        else:
            self._eof_timer = self._loop.call_later(_EOF_WAIT_S, self._finish)

    def _finish(self) -> None:
        if self._eof_timer is not None:
            self._eof_timer.cancel()
        if self._end is None:
            return
        end, self._end = self._end, None
        self.read_available()
        for pipe in self._pipes:
            pipe.close()
        if self._transport is not None:
            self._transport.abort()
        self._on_exit(self, end)
