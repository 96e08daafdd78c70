"""Manage one launcher of commands from the supervisor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.fork_server.client import ForkServerClient
from taskmaster.workers.daemon.fork_server.request_socket import RequestSocket
from taskmaster.workers.daemon.messages import (
    CommandExit,
    FromLauncher,
    KillProcess,
    ProcessEnd,
    SpawnCommand,
)

#: A launcher that has not reported by this time after the grace is killed. The fork server then
#: kills its command.
_ANSWER_S = 3.0

#: How a command ended, from its launcher, or how the launcher ended before it.
CommandEnd = FromLauncher | ProcessEnd


class LauncherConnection:
    """Start one launcher, and run one command at a time with it.

    `on_exit` is called once, when the process has exited.
    """

    def __init__(
        self, fork_server: ForkServerClient, on_exit: Callable[[LauncherConnection], None]
    ) -> None:
        self._fork_server = fork_server
        self._on_exit = on_exit
        self._on_end: Callable[[CommandEnd], None] | None = None
        self._decoder = messages.launcher_events()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        ours, theirs = socket.socketpair()
        self._socket = RequestSocket(ours, self._receive)
        self.id = fork_server.start_launcher(self, theirs.detach())

    @property
    def usable(self) -> bool:
        """Return whether the launcher accepts another command."""
        return self._on_end is None and not self._socket.closed

    def run(
        self, command: SpawnCommand, stdout: int, stderr: int, on_end: Callable[[CommandEnd], None]
    ) -> None:
        """Start a command. `on_end` is called once. The descriptors are closed here once sent."""
        self._on_end = on_end
        self._socket.send(command, [stdout, stderr])

    def kill(self, ident: int, grace_s: float) -> None:
        """End the command and its descendants: SIGTERM, then SIGKILL after the grace."""
        self._socket.send(KillProcess(ident, grace_s))
        self._start_timer(grace_s + _ANSWER_S, self._kill_launcher)

    def close_after(self, seconds: float) -> None:
        """Close the launcher unless it runs a command before."""
        self._start_timer(seconds, self.close)

    def close(self) -> None:
        """Close the connection. The launcher then exits."""
        self._socket.close()

    def _start_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(seconds, callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _kill_launcher(self) -> None:
        self._fork_server.kill(self.id, 0)

    def _receive(self, data: bytes) -> None:
        for event in self._decoder.feed(data):
            if isinstance(event, CommandExit) and event.has_leftovers:
                self.close()
            self._end(event)

    def _end(self, end: CommandEnd) -> None:
        self._cancel_timer()
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(end)

    # ---- Watcher of the fork server ---------------------------------------------------------

    def exited(self, end: ProcessEnd) -> None:
        """Handle the exit of the launcher. Its last report may still be in the socket."""
        self._socket.read_available()
        self.close()
        self._end(end)
        self._on_exit(self)
