"""Fork processes, and signal a process with all its descendants."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import psutil

from taskmaster.workers import python_process
from taskmaster.workers.daemon.fork_server import launcher

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
#: Signals that the fork server handles. A child must not inherit these handlers.
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants, so that none can escape.

    The processes that it forks do not inherit this.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Set the name that `ps` and `top` show. The kernel keeps 15 bytes."""
    _prctl(_PR_SET_NAME, name.encode())


def fork(
    body: Callable[[], NoReturn],
    stdout: int,
    stderr: int,
    parent_death: signal.Signals = signal.SIGKILL,
) -> int:
    """Run `body` in a new process with its own session and group. Return its pid.

    The process gets the signal `parent_death` when this process dies.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, parent_death)
        # The parent may have died before the call above took effect.
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        body()
    finally:
        os._exit(1)


def start_launcher(connection: int) -> int:
    """Start a launcher whose supervisor is at the other end of `connection`. Return its pid."""

    def body() -> NoReturn:
        adopt_orphans()
        os.set_inheritable(connection, True)
        options = (*python_process.marks(), "-I", "-S", "-X", "utf8")
        # Commands get their environment from the supervisor.
        argv = [sys.executable, *options, launcher.__file__, str(connection)]
        os.execve(sys.executable, argv, {})

    return fork(body, 1, 2, parent_death=signal.SIGTERM)


def descendants(pid: int) -> list[psutil.Process]:
    """Return all descendants of `pid`, including those that left its group."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def signal_tree(pid: int, others: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Signal the group of `pid`, and each process of `others` outside that group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    for process in others:
        # psutil compares the start time, so a reused pid is not signalled.
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) != pid:
                process.send_signal(number)


class OomKills:
    """Count the processes of this cgroup that the kernel killed because memory ran out."""

    def __init__(self) -> None:
        self._file = _oom_file()
        self._seen = self._count()

    def happened(self) -> bool:
        """Return whether the count has increased since the last call."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        if self._file is None:
            return 0
        try:
            for line in self._file.read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        except (OSError, ValueError):
            return self._seen if hasattr(self, "_seen") else 0
        return 0


def _oom_file() -> Path | None:
    """Return `memory.events` of cgroup 2 or `memory.oom_control` of cgroup 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            candidate = Path("/sys/fs/cgroup" + path) / "memory.events"
        elif "memory" in controllers.split(","):
            candidate = Path("/sys/fs/cgroup/memory" + path) / "memory.oom_control"
        else:
            continue
        if candidate.exists():
            return candidate
    return None
