"""Forks of a process that has loaded what they need: no second start of Python, no second import.

For a worker that is itself such a fork, see `workers.pools.template`. Never beside gRPC.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable

from workers.daemon.launcher import Launcher

#: What the parent handles itself and a child must not inherit.
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)
_TICK_S = 0.01


class ForkedProcess:
    """A child by `os.fork`, with what is needed of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("fork", timeout or 0.0)
            time.sleep(_TICK_S)
        return code

    def kill(self) -> None:
        """SIGKILL, unless it has been reaped."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)


def fork(body: Callable[[], int]) -> ForkedProcess:
    """Runs `body` in a child with a session of its own; what it returns is the exit code."""
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


def fork_launcher() -> tuple[ForkedProcess, socket.socket]:
    """The launcher of this worker, with the task modules that this process has loaded."""
    ours, theirs = socket.socketpair()

    def body() -> int:
        ours.close()
        Launcher(theirs).run()
        return 0

    process = fork(body)
    theirs.close()
    return process, ours
