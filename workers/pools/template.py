"""The template of a pool: a process that has loaded what workers need and forks them on request.

`python -m workers.pools.template` is started by the `local` provider with a socket as its standard
input. It loads Django and the task modules once and never gRPC, so that a fork of it is a worker in
a fraction of the time that a new process takes. When the socket closes, it ends; its workers have
sessions of their own and run on.

    asked       {"do": "start", "name", "argv", "log"}
    told        {"event": "ready"} or {"event": "fatal", "message"}; then of each worker
                {"event": "started", "name", "pid", "born"} and
                {"event": "exited", "name", "pid", "code"}
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from workers.daemon import wire
from workers.daemon.forked import ForkedProcess, fork, fork_launcher
from workers.pools import processes

_READ = 65_536


class Template:
    """Serves one provider."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = wire.Decoder()
        self._workers: dict[str, ForkedProcess] = {}
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serves until the provider is gone."""
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        # A signal to the whole service or terminal is not for this process: its socket tells it.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._tell({"event": "ready"})
        while self._turn():
            pass

    def _turn(self) -> bool:
        ready = {key.fileobj for key, _ in self._selector.select()}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4_096)
        self._reap()
        return self._control not in ready or self._receive()

    def _receive(self) -> bool:
        """Does what was asked for; False when the provider is gone."""
        try:
            data = self._control.recv(_READ)
        except ConnectionResetError:
            return False
        for message in self._decoder.feed(data):
            self._start(message)
        return bool(data)

    def _start(self, message: dict[str, Any]) -> None:
        worker = fork(lambda: self._become_worker(message))
        self._workers[message["name"]] = worker
        self._tell(
            {
                "event": "started",
                "name": message["name"],
                "pid": worker.pid,
                # A zombie, if it has died at once: its parent has not reaped it yet.
                "born": processes.born(worker.pid) or 0,
            }
        )

    def _become_worker(self, message: dict[str, Any]) -> int:
        from workers.daemon import worker

        for each in (self._control, self._wake, self._woken, self._selector):
            each.close()
        log = os.open(message["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        with contextlib.suppress(OSError):
            # What `ps` and `top` show; the kernel keeps 15 characters.
            Path("/proc/self/comm").write_text(message["name"][:15], encoding="utf-8")
        try:
            return worker.run(message["argv"], fork_launcher)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _reap(self) -> None:
        for name, worker in list(self._workers.items()):
            if (code := worker.poll()) is not None:
                del self._workers[name]
                self._tell({"event": "exited", "name": name, "pid": worker.pid, "code": code})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(wire.encode(message))


def main() -> int:
    """Loads what workers need, then serves. The exit code."""
    _close_inherited()
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        _load()
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        control.sendall(wire.encode({"event": "fatal", "message": message}))
        return 1
    Template(control).run()
    return 0


def _close_inherited() -> None:
    """Whatever of the coordinator's came along: its sockets must not outlive it here."""
    listed = Path("/proc/self/fd")
    numbers = [int(each.name) for each in listed.iterdir()] if listed.exists() else range(3, 1_024)
    for number in numbers:
        if number > 2:
            with contextlib.suppress(OSError):
                os.close(number)


def _load() -> None:
    """Everything that launcher and supervisor use, but for gRPC."""
    import asyncio  # noqa: F401
    import gc

    import django

    from proto import taskmaster_pb2  # noqa: F401
    from tasks import registry
    from workers.daemon import contact, database, gauge, memory, output, worker  # noqa: F401
    from workers.daemon.child import main as _child  # noqa: F401
    from workers.daemon.slots import process, shared, shell  # noqa: F401

    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401
    django.setup()
    registry.load()
    database.close_before_fork()
    assert "grpc" not in sys.modules, "forking beside gRPC can hang"
    # What is loaded now stays: no worker need copy its pages to count references to garbage.
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
