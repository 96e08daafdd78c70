"""Start the fork server and exchange messages with it from the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Protocol

from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers import python_process
from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.fork_server import launcher
from taskmaster.workers.daemon.fork_server.process_tree import OomKills
from taskmaster.workers.daemon.fork_server.request_socket import RequestSocket
from taskmaster.workers.daemon.messages import (
    ForkChild,
    FromForkServer,
    KillProcess,
    LoadFailed,
    ModulesLoaded,
    ProcessEnd,
    ProcessExit,
    ProcessStarted,
    StartLauncher,
)
from taskmaster.workers.daemon.resources import memory_file
from taskmaster.workers.security import private_process

_SERVER = "taskmaster.workers.daemon.fork_server.server"
_READ = 65_536


class ForkServerProcess(Protocol):
    """Describe the fork server as a child process of the supervisor."""

    @property
    def pid(self) -> int:
        """Return the pid of the fork server."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """Send SIGKILL."""


class ProcessWatcher(Protocol):
    """Receive the end of a process that was requested."""

    def exited(self, end: ProcessEnd) -> None:
        """Handle the end of the process, or its failed start."""


def start_fork_server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the fork server. Must be called before gRPC is imported.

    It gets the secrets of Django's settings only.
    """
    settings_secrets = private_process.secrets_of_settings(os.environ)
    environment, secrets = private_process.pass_on(os.environ, settings_secrets)
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(
                python_process.command(_SERVER, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), secrets],
                start_new_session=True,
                env=environment,
            )
    finally:
        os.close(secrets)
    return process, ours


class ForkServerClient:
    """Request processes from the fork server and report their ends to their watchers."""

    def __init__(
        self,
        process: ForkServerProcess,
        control: socket.socket,
        worker: str,
        on_lost: Callable[[], None],
    ) -> None:
        self._process = process
        self._control = control
        self._worker = worker
        self._on_lost = on_lost
        self._decoder = messages.fork_server_events()
        self._socket: RequestSocket | None = None
        self._watchers: dict[int, ProcessWatcher] = {}
        #: Ids of the launchers.
        self._launchers: set[int] = set()
        #: Ids of the processes that this client has killed.
        self._killed: set[int] = set()
        self._last_id = 0
        #: Children of this process that are older than the fork server's orphans.
        self._other_children = frozenset(launcher.child_pids())
        #: Counts for the fork server and the commands, so that no kill is seen twice.
        self.oom_kills = OomKills()
        #: Pids of the running processes, by id.
        self.pids: dict[int, int] = {}
        #: Memory files of the running children, by id, and of the fork server.
        self._memory_files: dict[int, int] = {}
        self._own_memory_file: int | None = None
        #: The task names that the children know. They are set when the fork server is ready.
        self.names: frozenset[str] = frozenset()

    @property
    def pid(self) -> int:
        """Return the pid of the fork server."""
        return self._process.pid

    def measured(self) -> list[tuple[int, int | None]]:
        """Return the pids of the fork server, of its processes and of the running commands.

        Each has its memory file, if it has sent one.
        """
        launchers = [self.pids[each] for each in self._launchers & self.pids.keys()]
        commands = [pid for each in launchers for pid in launcher.child_pids(each)]
        return [
            (self.pid, self._own_memory_file),
            *((pid, self._memory_files.get(ident)) for ident, pid in self.pids.items()),
            *((pid, None) for pid in commands),
        ]

    def add_memory_file(self, ident: int, file: int) -> None:
        """Keep the memory file of a process until it exits."""
        if ident in self._watchers:
            self._memory_files[ident] = file
        else:
            os.close(file)

    async def ready(self) -> None:
        """Wait until Django and the task modules are loaded.

        Raises ConfigurationError with the fork server's message when loading fails.
        """
        loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        self._own_memory_file = await memory_file.receive(self._control)
        events: list[FromForkServer] = []
        while not events:
            data = await loop.sock_recv(self._control, _READ)
            if not data:
                raise ConfigurationError("The fork server exited while it loaded the task modules.")
            events = self._decoder.feed(data)
        match events[0]:
            case LoadFailed(message=message):
                raise ConfigurationError(message)
            case ModulesLoaded(names=names):
                self.names = frozenset(names)
        self._socket = RequestSocket(self._control, self._receive)

    def fork(
        self,
        watcher: ProcessWatcher,
        executor: str,
        slots: int,
        connection: int,
        stdout: int,
        stderr: int,
    ) -> int:
        """Request a child and return its id. The three descriptors are closed here once sent."""
        request = ForkChild(self._add(watcher), executor, slots, self._worker)
        self._send(request, [connection, stdout, stderr])
        return request.id

    def start_launcher(self, watcher: ProcessWatcher, connection: int) -> int:
        """Request a launcher and return its id. The descriptor is closed here once sent."""
        request = StartLauncher(self._add(watcher))
        self._launchers.add(request.id)
        self._send(request, [connection])
        return request.id

    def kill(self, ident: int, grace_s: float) -> None:
        """End a process and its descendants: SIGTERM, then SIGKILL after the grace."""
        if ident in self._watchers:
            self._killed.add(ident)
            self._send(KillProcess(ident, grace_s), [])

    def close(self) -> None:
        """Close the connection. The fork server then kills all its processes and exits."""
        if self._socket is not None:
            self._socket.close()
        self._control.close()
        self._await_exit(5)
        for file in (self._own_memory_file, *self._memory_files.values()):
            if file is not None:
                os.close(file)
        self._own_memory_file = None
        self._memory_files.clear()

    def _await_exit(self, within_s: float) -> None:
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _send(self, request: ForkChild | StartLauncher | KillProcess, fds: list[int]) -> None:
        assert self._socket is not None, "the fork server is not ready"
        self._socket.send(request, fds)

    def _add(self, watcher: ProcessWatcher) -> int:
        self._last_id += 1
        self._watchers[self._last_id] = watcher
        return self._last_id

    def _receive(self, data: bytes) -> None:
        if not data:
            self._lost()
        for event in self._decoder.feed(data):
            self._handle(event)

    def _lost(self) -> None:
        """Handle the death of the fork server.

        Its children die with it. A worker is a subreaper, so the remaining descendants are its
        children now. They are killed here, and the watchers are called.
        """
        # The socket closes before the children of a dying process are passed on.
        self._await_exit(1)
        launcher.end_children(self._other_children, launcher.LEFTOVERS_S)
        watchers, self._watchers = self._watchers, {}
        self.pids.clear()
        for ident, watcher in watchers.items():
            watcher.exited(ProcessExit(ident, -signal.SIGKILL))
        self._on_lost()

    def _handle(self, event: FromForkServer) -> None:
        if isinstance(event, ModulesLoaded | LoadFailed):
            return
        if isinstance(event, ProcessStarted):
            self.pids[event.id] = event.pid
            return
        self.pids.pop(event.id, None)
        if (file := self._memory_files.pop(event.id, None)) is not None:
            os.close(file)
        watcher = self._watchers.pop(event.id, None)
        killed = event.id in self._killed
        self._killed.discard(event.id)
        self._launchers.discard(event.id)
        if isinstance(event, ProcessExit) and event.code == -signal.SIGKILL and not killed:
            event = event._replace(oom=self.oom_kills.happened())
        if watcher is not None:
            watcher.exited(event)
