"""Start, reap and kill the processes that the supervisor requests.

`python -m taskmaster.workers.daemon.fork_server.server FD` is started before the supervisor imports
gRPC, because forking in a process that uses gRPC can hang. It loads Django and the task modules
once, so that a child is ready as soon as it is forked. It has a single thread and never imports
gRPC. When the socket of the supervisor closes, it kills all processes it started and exits. No
process therefore outlives its worker.

A child of the executor `process` and a launcher are subreapers: they adopt what their attempt
leaves. Orphans that reach the fork server have therefore lost such a process. They are killed
before its exit is reported. The child of the executors `thread` and `async` runs many attempts, and
its orphans cannot be assigned to one of them. While it lives, orphans continue to run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NoReturn

import psutil

from taskmaster.tasks import registry
from taskmaster.workers.daemon import messages, wire
from taskmaster.workers.daemon.fork_server import launcher, process_tree
from taskmaster.workers.daemon.messages import (
    DESCRIPTORS,
    ForkChild,
    FromForkServer,
    KillProcess,
    LoadFailed,
    ModulesLoaded,
    ProcessExit,
    ProcessStarted,
    StartLauncher,
    StartRefused,
    ToForkServer,
)
from taskmaster.workers.daemon.resources import memory_file
from taskmaster.workers.security import private_process

log = logging.getLogger(__name__)

_READ = 65_536
#: Maximum number of file descriptors that one read may receive.
_FDS_MAX = 64


@dataclass(slots=True)
class StartedProcess:
    """Hold a child or launcher whose exit has not been reported yet."""

    id: int
    pid: int
    #: It adopts the orphans of its descendants.
    subreaper: bool
    #: Time of SIGKILL on the monotonic clock. None: no kill was requested.
    kill_at: float | None = None
    #: Descendants at the time of the first signal. They may lose their parent later.
    tree: list[psutil.Process] = field(default_factory=list)
    #: Exit code, while what it left is being killed.
    code: int = 0


class ForkServer:
    """Run the fork server of one supervisor."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = messages.fork_server_requests()
        #: Received file descriptors whose requests are not decoded yet.
        self._fds: deque[int] = deque()
        self._by_id: dict[int, StartedProcess] = {}
        self._by_pid: dict[int, StartedProcess] = {}
        #: Reaped processes. What they left is being killed.
        self._ended: list[StartedProcess] = []
        self._give_up_at = 0.0
        #: Children that the task modules started while they were loaded. They live as long as this
        #: process.
        self._own_children: frozenset[int] = frozenset()
        #: A signal writes to `_woken`, which makes `_wake` readable and ends the wait of `select`.
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve requests until the supervisor is gone."""
        process_tree.adopt_orphans()
        self._own_children = frozenset(launcher.child_pids())
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        # The supervisor handles signals to the whole service or terminal, since it lets tasks
        # finish. The signals get handlers because commands would inherit ignored signals.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._send(ModulesLoaded(registry.names()))
        try:
            while self._iterate():
                pass
        finally:
            self._kill_everything()

    def _iterate(self) -> bool:
        """Wait for an event and handle it. Return False when the supervisor is gone."""
        ready = {key.fileobj for key, _ in self._selector.select(self._until_next_kill())}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4_096)
        self._reap()
        self._kill_overdue()
        self._end_leftovers()
        return self._control not in ready or self._receive()

    def _send(self, event: FromForkServer) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(wire.encode([event]))

    def _receive(self) -> bool:
        """Read and execute requests. Return False when the supervisor is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _READ, _FDS_MAX)
        except ConnectionResetError:
            return False
        for fd in fds:
            # A launcher inherits its own connection only.
            os.set_inheritable(fd, False)
        self._fds.extend(fds)
        for request in self._decoder.feed(data):
            own_fds = [self._fds.popleft() for _ in range(DESCRIPTORS[type(request)])]
            try:
                self._handle(request, own_fds)
            finally:
                for fd in own_fds:
                    os.close(fd)
        return bool(data)

    def _handle(self, request: ToForkServer, fds: list[int]) -> None:
        if isinstance(request, KillProcess):
            self._kill(request.id, request.grace_s)
            return
        try:
            if isinstance(request, ForkChild):
                pid = self._fork(request, fds)
            else:
                pid = process_tree.start_launcher(*fds)
        except OSError as error:
            self._send(StartRefused(request.id, *launcher.refusal(error)))
            return
        started = StartedProcess(request.id, pid, _is_subreaper(request))
        self._by_id[started.id] = self._by_pid[pid] = started
        self._send(ProcessStarted(started.id, pid))

    def _fork(self, request: ForkChild, fds: list[int]) -> int:
        from taskmaster.workers.daemon.child import database
        from taskmaster.workers.daemon.child import main as child

        database.close_before_fork()
        connection, stdout, stderr = fds

        def body() -> NoReturn:
            for other in (self._control, self._wake, self._woken, self._selector):
                other.close()
            os.close(stdout)
            os.close(stderr)
            if _is_subreaper(request):
                process_tree.adopt_orphans()
            child.run(request.executor, request.slots, request.worker, connection)

        return process_tree.fork(body, stdout, stderr)

    # ---- end of a process -------------------------------------------------------------------

    def _reap(self) -> None:
        """Collect ended processes and kill what is left of their groups."""
        while (info := launcher.ended_child()) is not None:
            started = self._by_pid.pop(info.si_pid, None)
            if started is not None:
                # While the process is a zombie its pid is not reused, so its group can be killed
                # safely.
                process_tree.signal_tree(started.pid, started.tree, signal.SIGKILL)
            _, status = os.waitpid(info.si_pid, 0)
            if started is not None:
                started.code = os.waitstatus_to_exitcode(status)
                self._ended.append(started)
                self._give_up_at = time.monotonic() + launcher.LEFTOVERS_S

    def _end_leftovers(self) -> None:
        """Kill what the ended processes left. Report their exits when nothing is left."""
        if not self._ended:
            return
        if self._kill_orphans():
            if time.monotonic() < self._give_up_at:
                return
            log.warning("processes of an ended attempt cannot be killed")
        ended, self._ended = self._ended, []
        for started in ended:
            self._report_exit(started)

    def _kill_orphans(self) -> bool:
        """Kill the orphans, if all belong to ended processes. Return whether any are left."""
        if not all(each.subreaper for each in self._by_pid.values()):
            return False
        return launcher.kill_children(self._by_pid.keys() | self._own_children)

    def _report_exit(self, started: StartedProcess) -> None:
        del self._by_id[started.id]
        self._send(ProcessExit(started.id, started.code))

    def _kill(self, ident: int, grace_s: float) -> None:
        started = self._by_id.get(ident)
        if started is None or started in self._ended:
            return
        if started.kill_at is None and grace_s > 0:
            started.tree = process_tree.descendants(started.pid)
            process_tree.signal_tree(started.pid, started.tree, signal.SIGTERM)
        started.kill_at = time.monotonic() + grace_s
        self._kill_overdue()

    def _kill_overdue(self) -> None:
        """Send SIGKILL to the processes whose grace is over."""
        now = time.monotonic()
        for started in self._by_pid.values():
            if started.kill_at is not None and started.kill_at <= now:
                started.tree += process_tree.descendants(started.pid)
                process_tree.signal_tree(started.pid, started.tree, signal.SIGKILL)
                started.kill_at = float("inf")

    def _until_next_kill(self) -> float | None:
        times = [each.kill_at for each in self._by_pid.values() if each.kill_at is not None]
        if self._ended:
            times.append(time.monotonic() + launcher.KILL_AGAIN_S)
        soonest = min(times, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())

    def _kill_everything(self) -> None:
        for started in self._by_pid.values():
            process_tree.signal_tree(started.pid, (), signal.SIGKILL)
        launcher.end_children((), launcher.LEFTOVERS_S)


def _is_subreaper(request: ForkChild | StartLauncher) -> bool:
    return isinstance(request, StartLauncher) or request.executor == "process"


def main(fd: int) -> int:
    """Load Django and the task modules, then serve. Return the exit code."""
    control = socket.socket(fileno=fd)
    # A command must not inherit the socket. It could send messages in place of the fork server, and
    # it would keep the socket open after the fork server died.
    control.set_inheritable(False)
    private_process.enter()
    memory_file.send(control)
    try:
        _load()
    except Exception as error:
        control.sendall(wire.encode([LoadFailed(str(error) or repr(error))]))
        return 1
    ForkServer(control).run()
    return 0


def _load() -> None:
    import gc

    import django

    from taskmaster.workers.daemon.child import database
    from taskmaster.workers.daemon.child import main as _child  # noqa: F401 - loaded for all children

    django.setup()
    registry.load()
    database.close_before_fork()
    # Exclude the loaded objects from garbage collection, so that children do not copy their pages.
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
