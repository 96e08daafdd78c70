"""Processes as the launcher sees them: how one is born, and how a whole tree ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: What the launcher handles itself and a child must not inherit.
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose parent dies, so that none gets away."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def fork(body: Callable[[], NoReturn], stdout: int, stderr: int) -> int:
    """Runs `body` in a new process with its own session and group; returns its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
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


def spawn(
    argv: Sequence[str], cwd: str | None, env: Mapping[str, str], stdout: int, stderr: int
) -> int:
    """Starts a command; returns its pid.

    Raises OSError when the command or its folder cannot be used; `filename` says which.
    """
    reading, writing = os.pipe()

    def body() -> NoReturn:
        stage = "cwd"
        try:
            if cwd is not None:
                os.chdir(cwd)
            stage = "command"
            os.execvpe(argv[0], list(argv), env)
        except (OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else 22
            os.write(writing, f"{stage} {number}".encode())
        os._exit(_NOT_FOUND)

    try:
        pid = fork(body, stdout, stderr)
        os.close(writing)
        writing = -1
        trouble = os.read(reading, 64).decode()
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if not trouble:
        return pid
    os.waitpid(pid, 0)
    stage, number = trouble.split()
    what = cwd if stage == "cwd" else argv[0]
    raise OSError(int(number), os.strerror(int(number)), what)


def refusal(error: OSError) -> tuple[str, int]:
    """Why a command could not be started, for a person, and a shell's exit code for it."""
    code = _NOT_FOUND if error.errno == 2 else _NOT_EXECUTABLE
    return f"{error.filename}: {error.strerror}", code


def descendants(pid: int) -> list[psutil.Process]:
    """Everything that descends from `pid`, also what left its group."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def signal_tree(pid: int, others: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Signals the group of `pid` and those of `others` that are outside of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    for process in others:
        # psutil compares the start time: a pid that was used again is not touched.
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) != pid:
                process.send_signal(number)


class OomKills:
    """How many processes of this cgroup the kernel has killed for want of memory."""

    def __init__(self) -> None:
        self._file = _oom_file()
        self._seen = self._count()

    def happened(self) -> bool:
        """Whether there is one more since the last question."""
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
    """`memory.events` of cgroup 2, `memory.oom_control` of cgroup 1."""
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
