"""The coordinator's side of a template: starts it, asks it for workers, hears how they end.

The coordinator runs gRPC, so it may neither fork nor Popen: the template is a new process from its
first instruction on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workers.daemon import wire
from workers.pools.logs import end_of

#: The module that is run.
TEMPLATE = "workers.pools.template"
_ROOT = Path(__file__).resolve().parents[2]
_READ = 65_536


class TemplateFailed(Exception):
    """It ended, or could not load the task modules; the message has the end of its log."""


class Begun(NamedTuple):
    """A worker that was forked."""

    name: str
    pid: int
    born: int


class Exited(NamedTuple):
    """A worker that has ended."""

    name: str
    pid: int
    code: int


class Spawner:
    """One template."""

    def __init__(
        self, environment: Mapping[str, str], log: Path, on_exit: Callable[[], None]
    ) -> None:
        self._log = log
        self._on_exit = on_exit
        self._decoder = wire.Decoder()
        self._news = asyncio.Event()
        self._fatal = ""
        self.alive = True
        self.ready = False
        #: The workers that are its children, by name and pid, until it has told how they ended.
        self.children: set[tuple[str, int]] = set()
        #: What it told and nobody has taken yet.
        self.begun: list[Begun] = []
        self.exited: list[Exited] = []
        self._control, theirs = socket.socketpair()
        with theirs:
            self._pid = _spawn(environment, theirs.fileno(), log)
        self._control.setblocking(False)
        asyncio.get_running_loop().add_reader(self._control, self._receive)

    async def start(self, workers: Mapping[str, Sequence[str]], logs: Mapping[str, Path]) -> None:
        """Has workers forked: the options of each by name; returns when it has said of all.

        Raises TemplateFailed.
        """
        await self._until(lambda: self.ready)
        requests = [
            {"do": "start", "name": name, "argv": list(argv), "log": str(logs[name])}
            for name, argv in workers.items()
        ]
        waiting = set(workers) - {each.name for each in self.begun}
        data = b"".join(map(wire.encode, requests))
        try:
            await asyncio.get_running_loop().sock_sendall(self._control, data)
        except OSError as error:
            self._lost()
            raise TemplateFailed(f"The template of the pool ended: {error}") from None
        await self._until(lambda: waiting <= {each.name for each in self.begun})

    def close(self) -> None:
        """Lets the template go; its workers run on."""
        if self.alive:
            self.alive = False
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        self._news.set()
        self._reap()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            if not self.alive:
                text = self._fatal or end_of(self._log) or "It left no word."
                raise TemplateFailed(f"The template of the pool ended: {text}")
            self._news.clear()
            await self._news.wait()

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
        self._news.set()

    def _hear(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "ready":
                self.ready = True
            case "fatal":
                self._fatal = message["message"]
            case "started":
                self.children.add((message["name"], message["pid"]))
                self.begun.append(Begun(message["name"], message["pid"], message["born"]))
            case "exited":
                self.children.discard((message["name"], message["pid"]))
                self.exited.append(Exited(message["name"], message["pid"], message["code"]))
                self._on_exit()

    def _lost(self) -> None:
        self.close()
        self._on_exit()

    def _reap(self) -> None:
        """It ends at once when its socket is closed; else the loop comes back to it."""
        try:
            done, _ = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            return
        if not done:
            asyncio.get_running_loop().call_later(0.5, self._reap)


def _spawn(environment: Mapping[str, str], control: int, log: Path) -> int:
    """Starts the template in a session of its own; its pid. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = environment.get("PYTHONPATH")
    appending = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", TEMPLATE],
        {**environment, "PYTHONPATH": f"{_ROOT}{os.pathsep}{path}" if path else str(_ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, control, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT],
    )
