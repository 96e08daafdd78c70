"""The supervisor's side of the launcher: start it, ask it, hear from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from tasks.errors import ConfigurationError
from workers.daemon import wire

log = logging.getLogger(__name__)

_READ = 65_536


class Exit(NamedTuple):
    """How a process ended: an exit code, or minus the number of a signal."""

    code: int
    #: The kernel killed it for want of memory.
    oom: bool


class Refusal(NamedTuple):
    """Why a process could not be started; `code` is what a shell would exit with."""

    message: str
    code: int


class LauncherProcess(Protocol):
    """The launcher as a child of the supervisor."""

    @property
    def pid(self) -> int:
        """Its pid."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """SIGKILL."""


class Watcher(Protocol):
    """Whoever asked for a process."""

    def exited(self, how: Exit | Refusal) -> None:
        """The process is gone, or never came to be."""


def start_launcher() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts the fork server. Must be called before gRPC is imported."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.daemon.launcher", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return process, ours


class ForkServer:
    """Asks the launcher for processes and tells their watchers when they end."""

    def __init__(
        self,
        process: LauncherProcess,
        control: socket.socket,
        worker: str,
        on_lost: Callable[[], None],
    ) -> None:
        self._process = process
        self._control = control
        self._worker = worker
        self._on_lost = on_lost
        self._decoder = wire.Decoder()
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._watchers: dict[int, Watcher] = {}
        self._last_id = 0
        self._closed = False
        #: The pids of what runs, by id.
        self.pids: dict[int, int] = {}

    @property
    def pid(self) -> int:
        """The launcher's own pid."""
        return self._process.pid

    async def ready(self) -> None:
        """Waits until Django and the task modules are loaded.

        Raises ConfigurationError with the launcher's message when they cannot be.
        """
        loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        messages: list[dict[str, Any]] = []
        while not messages:
            data = await loop.sock_recv(self._control, _READ)
            if not data:
                raise ConfigurationError("The fork server ended while it loaded the task modules.")
            messages = self._decoder.feed(data)
        if messages[0]["event"] == "fatal":
            raise ConfigurationError(messages[0]["message"])
        loop.add_reader(self._control, self._receive)

    def fork(
        self, watcher: Watcher, kind: str, slots: int, connection: int, stdout: int, stderr: int
    ) -> int:
        """Asks for a child; returns its id. The three descriptors are closed here once sent."""
        request = {"do": "fork", "kind": kind, "slots": slots, "worker": self._worker}
        return self._start(watcher, request, [connection, stdout, stderr])

    def spawn(
        self,
        watcher: Watcher,
        argv: Sequence[str],
        cwd: str | None,
        env: dict[str, str],
        stdout: int,
        stderr: int,
    ) -> int:
        """Asks for a command; returns its id. The descriptors are closed here once sent."""
        request = {"do": "spawn", "argv": list(argv), "cwd": cwd, "env": env}
        return self._start(watcher, request, [stdout, stderr])

    def kill(self, ident: int, grace_s: float) -> None:
        """Ends a process with its tree: SIGTERM, and SIGKILL after the grace."""
        self._post({"do": "kill", "id": ident, "grace_s": grace_s}, [])

    def forget(self, ident: int) -> None:
        """Nobody waits for this process any more."""
        self._watchers.pop(ident, None)

    def close(self) -> None:
        """Lets the launcher go: it kills whatever still runs."""
        if not self._closed:
            self._closed = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._control)
            loop.remove_writer(self._control)
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _start(self, watcher: Watcher, request: dict[str, Any], fds: list[int]) -> int:
        self._last_id += 1
        self._watchers[self._last_id] = watcher
        self._post({**request, "id": self._last_id, "fds": len(fds)}, fds)
        return self._last_id

    def _post(self, message: dict[str, Any], fds: list[int]) -> None:
        if self._closed:
            _close(fds)
            return
        self._out.append((memoryview(wire.encode(message)), fds))
        if len(self._out) == 1:
            self._send()

    def _send(self) -> None:
        """Writes as much as the launcher takes now; the loop calls again when it takes more."""
        loop = asyncio.get_running_loop()
        while self._out:
            data, fds = self._out[0]
            try:
                # The descriptors travel with the first byte of their message.
                sent = (
                    socket.send_fds(self._control, [data], fds) if fds else self._control.send(data)
                )
            except BlockingIOError:
                loop.add_writer(self._control, self._send)
                return
            except OSError:
                # The launcher is gone: `_receive` hears of it.
                _close(fds)
                self._out.popleft()
                continue
            _close(fds)
            if sent < len(data):
                self._out[0] = data[sent:], []
            else:
                self._out.popleft()
        loop.remove_writer(self._control)

    def _receive(self) -> None:
        try:
            data = self._control.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        for message in self._decoder.feed(data):
            self._hear(message)

    def _lost(self) -> None:
        """The launcher is gone: what it started dies with it, and what that had started here."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control)
        loop.remove_writer(self._control)
        self._closed = True
        for pid in self.pids.values():
            # Each leads a group of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        watchers, self._watchers = list(self._watchers.values()), {}
        self.pids.clear()
        for watcher in watchers:
            watcher.exited(Exit(-signal.SIGKILL, oom=False))
        self._on_lost()

    def _hear(self, message: dict[str, Any]) -> None:
        ident = message["id"]
        if message["event"] == "started":
            self.pids[ident] = message["pid"]
            return
        self.pids.pop(ident, None)
        watcher = self._watchers.pop(ident, None)
        if watcher is None:
            return
        if message["event"] == "refused":
            watcher.exited(Refusal(message["message"], message["code"]))
        else:
            watcher.exited(Exit(message["code"], message["oom"]))


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
