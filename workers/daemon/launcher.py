"""The fork server: starts, reaps and kills what the supervisor asks for.

`python -m workers.daemon.launcher FD` is started before the supervisor imports gRPC, because
forking beside gRPC can hang. It loads Django and the task modules once, so that a child is ready
as soon as it is forked. It has a single thread and never imports gRPC. When the socket of the
supervisor closes, it kills everything it started and ends: no orphan outlives a worker.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NoReturn

import psutil

from workers.daemon import processes, wire

_READ = 65_536
#: The most file descriptors that may come with one read.
_FDS_MAX = 64


@dataclass(slots=True)
class Started:
    """A child or command that has not been reaped yet."""

    id: int
    pid: int
    #: When SIGTERM turns into SIGKILL; None when nobody asked to kill it.
    kill_at: float | None = None
    #: Its descendants when it was first signalled: they may lose their parent.
    tree: list[psutil.Process] = field(default_factory=list)


class Launcher:
    """One supervisor's fork server."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = wire.Decoder()
        self._fds: deque[int] = deque()
        self._by_id: dict[int, Started] = {}
        self._by_pid: dict[int, Started] = {}
        self._oom = processes.OomKills()
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serves until the supervisor is gone."""
        processes.adopt_orphans()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        # A signal to the whole service or terminal is the supervisor's business: it lets tasks
        # finish. Handlers, since what is ignored would be ignored by commands too.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._send({"event": "ready"})
        try:
            while self._turn():
                pass
        finally:
            self._kill_everything()

    def _turn(self) -> bool:
        ready = {key.fileobj for key, _ in self._selector.select(self._until_next_kill())}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4_096)
        self._reap()
        self._kill_overdue()
        return self._control not in ready or self._receive()

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(wire.encode(message))

    def _receive(self) -> bool:
        """Does what was asked for; False when the supervisor is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _READ, _FDS_MAX)
        except ConnectionResetError:
            return False
        for fd in fds:
            # A command gets its own two as stdout and stderr, and no others.
            os.set_inheritable(fd, False)
        self._fds.extend(fds)
        for message in self._decoder.feed(data):
            taken = [self._fds.popleft() for _ in range(message.get("fds", 0))]
            try:
                self._obey(message, taken)
            finally:
                for fd in taken:
                    os.close(fd)
        return bool(data)

    def _obey(self, message: dict[str, Any], fds: list[int]) -> None:
        if message["do"] == "kill":
            self._kill(message["id"], message["grace_s"])
            return
        try:
            pid = self._fork(message, fds) if message["do"] == "fork" else _spawn(message, fds)
        except OSError as error:
            text, code = processes.refusal(error)
            self._send({"event": "refused", "id": message["id"], "message": text, "code": code})
            return
        started = Started(message["id"], pid)
        self._by_id[started.id] = self._by_pid[pid] = started
        self._send({"event": "started", "id": started.id, "pid": pid})

    def _fork(self, message: dict[str, Any], fds: list[int]) -> int:
        from workers.daemon import database
        from workers.daemon.child import main as child

        database.close_before_fork()
        connection, stdout, stderr = fds

        def body() -> NoReturn:
            for other in (self._control, self._wake, self._woken, self._selector):
                other.close()
            os.close(stdout)
            os.close(stderr)
            child.run(message["kind"], message["slots"], message["worker"], connection)

        return processes.fork(body, stdout, stderr)

    # ---- the end of a process ---------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            started = self._by_pid.pop(info.si_pid, None)
            if started is not None:
                # While it is a zombie its pid is no other's: its group ends with it.
                processes.signal_tree(started.pid, started.tree, signal.SIGKILL)
            _, status = os.waitpid(info.si_pid, 0)
            if started is not None:
                self._report_exit(started, status)

    def _report_exit(self, started: Started, status: int) -> None:
        del self._by_id[started.id]
        code = os.waitstatus_to_exitcode(status)
        ours = started.kill_at is not None
        oom = code == -signal.SIGKILL and not ours and self._oom.happened()
        self._send({"event": "exited", "id": started.id, "code": code, "oom": oom})

    def _kill(self, ident: int, grace_s: float) -> None:
        started = self._by_id.get(ident)
        if started is None:
            return
        if started.kill_at is None and grace_s > 0:
            started.tree = processes.descendants(started.pid)
            processes.signal_tree(started.pid, started.tree, signal.SIGTERM)
        started.kill_at = time.monotonic() + grace_s
        self._kill_overdue()

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for started in self._by_pid.values():
            if started.kill_at is not None and started.kill_at <= now:
                started.tree += processes.descendants(started.pid)
                processes.signal_tree(started.pid, started.tree, signal.SIGKILL)
                started.kill_at = float("inf")

    def _until_next_kill(self) -> float | None:
        times = [each.kill_at for each in self._by_pid.values() if each.kill_at is not None]
        soonest = min(times, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())

    def _kill_everything(self) -> None:
        for started in self._by_pid.values():
            processes.signal_tree(started.pid, (), signal.SIGKILL)
        # Orphans come to this process as they lose their parents, so look again.
        while left := processes.descendants(os.getpid()):
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _spawn(message: dict[str, Any], fds: list[int]) -> int:
    stdout, stderr = fds
    return processes.spawn(message["argv"], message["cwd"], message["env"], stdout, stderr)


def main(fd: int) -> int:
    """Loads what tasks need, then serves. The exit code."""
    control = socket.socket(fileno=fd)
    # No command may hold it: it could speak for the launcher, and hide that the launcher is gone.
    control.set_inheritable(False)
    try:
        _load()
    except Exception as error:
        control.sendall(wire.encode({"event": "fatal", "message": str(error) or repr(error)}))
        return 1
    Launcher(control).run()
    return 0


def _load() -> None:
    import gc

    import django

    from tasks import registry
    from workers.daemon import database
    from workers.daemon.child import main as _child  # noqa: F401 - warm in every child

    django.setup()
    registry.load()
    database.close_before_fork()
    # What is loaded now stays: no child need copy its pages to count references to garbage.
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
