"""Fork processes that reuse the modules loaded by this process.

A fork needs no second start of Python and no second import. It is used by a worker that is itself a
fork, see `taskmaster.workers.pools.zygote`. Never fork in a process that has imported gRPC.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable

from taskmaster.workers.daemon.fork_server.server import ForkServer
from taskmaster.workers.daemon.resources import memory_file

#: Signals that the parent handles. A child must not inherit these handlers.
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)
_TICK_S = 0.01


class ForkedProcess:
    """Represent a child that was started by `os.fork`.

    It implements the required part of `subprocess.Popen`.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("fork", timeout or 0.0)
            time.sleep(_TICK_S)
        return code

    def kill(self) -> None:
        """Send SIGKILL, unless the process has been reaped."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)


def fork(body: Callable[[], int]) -> ForkedProcess:
    """Run `body` in a child with its own session. Its return value is the exit code."""
    pid = os.fork()
    if pid:
        return ForkedProcess(pid)
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        code = body()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def start_fork_server_from_zygote(secrets: int) -> tuple[ForkedProcess, socket.socket]:
    """Fork the fork server of this worker. It inherits the task modules of this process.

    `secrets` is the unread pipe with the secrets of this worker. The fork closes it.
    """
    ours, theirs = socket.socketpair()

    def body() -> int:
        os.close(secrets)
        ours.close()
        memory_file.send(theirs)
        ForkServer(theirs).run()
        return 0

    process = fork(body)
    theirs.close()
    return process, ours
