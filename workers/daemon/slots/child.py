"""The supervisor's hold on one forked Python child: its socket and its pipes."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

from proto import taskmaster_pb2 as pb
from workers.daemon import wire
from workers.daemon.attempt import Attempt, Broken, Returned
from workers.daemon.forkserver import Exit, ForkServer, Refusal
from workers.daemon.pipes import Pipe

log = logging.getLogger(__name__)

#: How long the socket of a dead child may stay open: a process that left its tree may hold it.
_LAST_WORDS_S = 0.5
#: A child whose socket closed has this long to end by itself.
_LEAVE_S = 1.0


def call(attempt: Attempt) -> list[Any]:
    """The message `run`, see `workers.daemon.child`."""
    return [
        "run",
        attempt.id,
        attempt.name,
        attempt.args,
        attempt.kwargs,
        attempt.task_id,
        attempt.number,
        attempt.created_at_us,
        attempt.queue,
        attempt.priority,
    ]


def ending(message: list[Any]) -> Returned | Broken:
    """How the attempt of a message `done` or `failed` ended."""
    if message[0] == "done":
        return Returned(message[2], message[3], message[4])
    _, _, started, finished, exception, text, trace, final, after_s = message
    return Broken(
        pb.EXIT_CLASS_RAISED, text, exception, trace, 0, final, started, finished, after_s
    )


def death(how: Exit | Refusal) -> Broken:
    """How an attempt ended whose process died under it."""
    if isinstance(how, Refusal):
        return Broken(pb.EXIT_CLASS_EXIT_CODE, how.message, code=how.code)
    if how.oom:
        return Broken(pb.EXIT_CLASS_OUT_OF_MEMORY, "killed by the kernel: out of memory", code=9)
    if how.code < 0:
        return Broken(pb.EXIT_CLASS_SIGNAL, f"killed by {signal_name(-how.code)}", code=-how.code)
    return Broken(
        pb.EXIT_CLASS_EXIT_CODE,
        f"the worker process exited with code {how.code} during the task",
        code=how.code,
    )


def signal_name(number: int) -> str:
    """SIGSEGV for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Child(asyncio.Protocol):
    """One child. `on_message` gets its messages, `on_gone` one call when all is read and over."""

    def __init__(
        self,
        server: ForkServer,
        kind: str,
        slots: int,
        on_message: Callable[[Child, list[Any]], None],
        on_gone: Callable[[Child, Exit | Refusal], None],
        on_output: Callable[[Child, str, bytes], bool],
    ) -> None:
        self._server = server
        self._on_message = on_message
        self._on_gone = on_gone
        self._decoder = wire.Decoder()
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._how: Exit | Refusal | None = None
        self._eof = False
        self._last_words: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        #: Nothing new for it: it is being killed, or will be when its attempts are over.
        self.retired = False
        #: How many attempts it has been handed.
        self.begun = 0
        #: The attempts that it has, by id.
        self.attempts: dict[int, Attempt] = {}
        self._pipes = [
            Pipe(lambda data: on_output(self, "stdout", data)),
            Pipe(lambda data: on_output(self, "stderr", data)),
        ]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        stdout, stderr = (pipe.writing_end for pipe in self._pipes)
        self.id = server.fork(self, kind, slots, theirs.detach(), stdout, stderr)
        self._connecting = self._loop.create_task(self._connect(ours))

    async def _connect(self, connection: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=connection)

    def send(self, messages: list[list[Any]]) -> None:
        """Sends messages; those of a child that is still being forked wait in its socket."""
        data = wire.encode(messages)
        if self._transport is None:
            self._early.append(data)
        elif not self._transport.is_closing():
            # Else it is dying, and its attempts with it.
            self._transport.write(data)

    def kill(self, grace_s: float) -> None:
        """Ends the child with its tree."""
        self.retired = True
        self._server.kill(self.id, grace_s)

    def drain(self) -> None:
        """Reads what is in the pipes."""
        for pipe in self._pipes:
            pipe.drain()

    # ---- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is the loop's."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        for data in self._early:
            self._transport.write(data)  # type: ignore[union-attr]
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Hands messages on."""
        try:
            frames = self._decoder.feed(data)
        except wire.BrokenFrame as error:
            # A task wrote into the socket: nothing from this child can be trusted any more.
            log.error("child speaks nonsense", extra={"child": self.id, "error": str(error)})
            self.kill(0)
            return
        for messages in frames:
            for message in messages:
                self._on_message(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The child is dying, or a task closed its socket."""
        self._eof = True
        if self._how is None:
            self.retired = True
            self._loop.call_later(_LEAVE_S, self._server.kill, self.id, 0)
        else:
            self._finish()

    # ---- forkserver.Watcher -----------------------------------------------------------------

    def exited(self, how: Exit | Refusal) -> None:
        """The process is gone; its last messages may still be in the socket."""
        self.retired = True
        self._how = how
        if self._eof:
            self._finish()
        else:
            self._last_words = self._loop.call_later(_LAST_WORDS_S, self._finish)

    def _finish(self) -> None:
        if self._last_words is not None:
            self._last_words.cancel()
        if self._how is None:
            return
        how, self._how = self._how, None
        self.drain()
        for pipe in self._pipes:
            pipe.close()
        if self._transport is not None:
            self._transport.abort()
        self._on_gone(self, how)
