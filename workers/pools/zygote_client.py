"""Start the zygote of a pool, request workers from it and receive their ends.

The coordinator runs gRPC, so it may use neither fork nor Popen. The zygote is therefore a new
process that is started by `posix_spawn`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from taskmaster.workers import python_process
from taskmaster.workers.daemon.fork_server.request_socket import RequestSocket
from taskmaster.workers.daemon.messages import LoadFailed, ModulesLoaded
from taskmaster.workers.pools.logs import read_end
from taskmaster.workers.pools.zygote_messages import (
    ExitedWorker,
    ForkedWorker,
    FromZygote,
    StartWorker,
    zygote_events,
)
from taskmaster.workers.security import private_process

#: Module that the zygote process runs.
ZYGOTE = "taskmaster.workers.pools.zygote"
#: Number of workers whose start is requested before the first one is reported. Each has a pipe.
_AT_A_TIME = 32


class ZygoteFailed(Exception):
    """Raised when the zygote ended or could not load the task modules.

    The message holds the end of its log.
    """


class ZygoteClient:
    """Manage one zygote."""

    def __init__(
        self, environment: Mapping[str, str], log: Path, on_exit: Callable[[], None]
    ) -> None:
        self._log = log
        self._on_exit = on_exit
        self._decoder = zygote_events()
        self._changed = asyncio.Event()
        self._fatal = ""
        self.alive = True
        self.ready = False
        #: Name and pid of each child of the zygote whose end is not reported yet.
        self.children: set[tuple[str, int]] = set()
        #: Reported starts and ends that the provider has not processed yet.
        self.started: list[ForkedWorker] = []
        self.exited: list[ExitedWorker] = []
        #: They are passed to the workers, and not to the zygote.
        self._secrets = private_process.secrets_of_workers(environment)
        ours, theirs = socket.socketpair()
        with theirs:
            self._pid = _spawn(environment, theirs.fileno(), log)
        self._socket = RequestSocket(ours, self._receive)

    async def start(self, workers: Mapping[str, Sequence[str]], logs: Mapping[str, Path]) -> None:
        """Fork workers and return when the start of each is reported.

        `workers` holds the options of each worker by name. Raises ZygoteFailed.
        """
        await self._until(lambda: self.ready)
        names = list(workers)
        for first in range(0, len(names), _AT_A_TIME):
            waiting = set(names[first : first + _AT_A_TIME])
            for name in waiting:
                request = StartWorker(name, list(workers[name]), str(logs[name]))
                self._socket.send(request, [private_process.write_pipe(self._secrets)])
            await self._until(partial(self._have_started, waiting))

    def _have_started(self, names: set[str]) -> bool:
        return names <= {each.name for each in self.started}

    def close(self) -> None:
        """Release the zygote. Its workers continue to run."""
        if self.alive:
            self.alive = False
            self._socket.close()
        self._changed.set()
        self._reap()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            if not self.alive:
                text = self._fatal or read_end(self._log) or "It exited without output."
                raise ZygoteFailed(f"The zygote of the pool exited: {text}")
            self._changed.clear()
            await self._changed.wait()

    def _receive(self, data: bytes) -> None:
        if not data:
            self._lost()
            return
        for event in self._decoder.feed(data):
            self._handle(event)
        self._changed.set()

    def _handle(self, event: FromZygote) -> None:
        match event:
            case ModulesLoaded():
                self.ready = True
            case LoadFailed():
                self._fatal = event.message
            case ForkedWorker():
                self.children.add((event.name, event.pid))
                self.started.append(event)
            case ExitedWorker():
                self.children.discard((event.name, event.pid))
                self.exited.append(event)
                self._on_exit()

    def _lost(self) -> None:
        self.close()
        self._on_exit()

    def _reap(self) -> None:
        """Reap the zygote, which exits when its socket is closed.

        If it still runs, try again later.
        """
        try:
            done, _ = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            return
        if not done:
            asyncio.get_running_loop().call_later(0.5, self._reap)


def _spawn(environment: Mapping[str, str], control: int, log: Path) -> int:
    """Start the zygote in its own session and return its pid. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    argv = python_process.command(ZYGOTE)
    appending = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    public, secrets = private_process.pass_on(
        python_process.environment(environment), private_process.secrets_of_settings(environment)
    )
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            public,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, control, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                # Without a change of the number, this makes the descriptor inheritable.
                (os.POSIX_SPAWN_DUP2, secrets, secrets),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT],
        )
    finally:
        os.close(secrets)
