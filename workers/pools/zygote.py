"""Fork the workers of a pool from a process that has loaded the modules they need.

`python -m taskmaster.workers.pools.zygote` is started by the `local` provider with a socket as
its standard input. It loads Django and the task modules once. It never imports gRPC. Forking it
starts a worker in a fraction of the time that a new process takes. When the socket closes, the
zygote exits. Its workers have their own sessions and continue to run.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from collections import deque
from functools import partial
from pathlib import Path

from taskmaster.workers.daemon import wire
from taskmaster.workers.daemon.fork_server import process_tree
from taskmaster.workers.daemon.fork_server.fork import (
    ForkedProcess,
    fork,
    start_fork_server_from_zygote,
)
from taskmaster.workers.daemon.messages import LoadFailed, ModulesLoaded
from taskmaster.workers.pools import processes
from taskmaster.workers.pools.zygote_messages import (
    ExitedWorker,
    ForkedWorker,
    FromZygote,
    StartWorker,
    zygote_requests,
)
from taskmaster.workers.security import private_process

_READ = 65_536
#: Maximum number of file descriptors that one read may receive.
_FDS_MAX = 64


class Zygote:
    """Fork the workers of one provider."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = zygote_requests()
        #: Pipes with secrets whose requests are not executed yet.
        self._pipes: deque[int] = deque()
        self._workers: dict[str, ForkedProcess] = {}
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve requests until the provider is gone."""
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        # Signals to the whole service or terminal are ignored. The end of the socket ends this
        # process.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._send(ModulesLoaded())
        while self._iterate():
            pass

    def _iterate(self) -> bool:
        ready = {key.fileobj for key, _ in self._selector.select()}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4_096)
        self._reap()
        return self._control not in ready or self._receive()

    def _receive(self) -> bool:
        """Read and execute requests. Return False when the provider is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _READ, _FDS_MAX)
        except ConnectionResetError:
            return False
        self._pipes.extend(fds)
        for request in self._decoder.feed(data):
            self._start(request, self._pipes.popleft())
        return bool(data)

    def _start(self, request: StartWorker, secrets: int) -> None:
        worker = fork(lambda: self._become_worker(request, secrets))
        os.close(secrets)
        self._workers[request.name] = worker
        # A child that died immediately is a zombie, because it is not reaped yet.
        born = processes.start_time(worker.pid) or 0
        self._send(ForkedWorker(request.name, worker.pid, born))

    def _become_worker(self, request: StartWorker, secrets: int) -> int:
        from taskmaster.workers.daemon.main import run

        for pipe in self._pipes:
            os.close(pipe)
        for each in (self._control, self._wake, self._woken, self._selector):
            each.close()
        log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        process_tree.set_name(request.name)
        try:
            return run(
                request.argv,
                partial(start_fork_server_from_zygote, secrets),
                partial(private_process.read_pipe, secrets),
            )
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _reap(self) -> None:
        for name, worker in list(self._workers.items()):
            if (code := worker.poll()) is not None:
                del self._workers[name]
                self._send(ExitedWorker(name, worker.pid, code))

    def _send(self, event: FromZygote) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(wire.encode([event]))


def main() -> int:
    """Load the modules that workers need, then serve. Return the exit code."""
    private_process.enter()
    _close_inherited()
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        _load()
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        control.sendall(wire.encode([LoadFailed(message)]))
        return 1
    Zygote(control).run()
    return 0


def _close_inherited() -> None:
    """Close the inherited descriptors.

    Sockets of the coordinator must not stay open in this process.
    """
    listed = Path("/proc/self/fd")
    numbers = [int(each.name) for each in listed.iterdir()] if listed.exists() else range(3, 1_024)
    for number in numbers:
        if number > 2:
            with contextlib.suppress(OSError):
                os.close(number)


def _load() -> None:
    """Load everything that the fork server and the supervisor use, except gRPC."""
    import asyncio  # noqa: F401
    import gc

    import django

    from taskmaster.proto import taskmaster_pb2  # noqa: F401
    from taskmaster.tasks import registry
    from taskmaster.workers.daemon.child import database
    from taskmaster.workers.daemon.child import main as _child  # noqa: F401

    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401
    django.setup()
    registry.load()
    database.close_before_fork()
    assert "grpc" not in sys.modules, "forking beside gRPC can hang"
    # Exclude the loaded objects from garbage collection, so that workers do not copy their pages.
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
