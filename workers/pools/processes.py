"""Processes of this host, known by their pid together with the moment they started."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil

#: Fields of /proc/PID/stat, counted behind the name, which may hold anything.
_STATE, _START = 0, 19
_DEAD = (b"Z", b"X")


def born(pid: int) -> int | None:
    """When a process started, by the kernel's clock; None when there is none, or a dead one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _born_elsewhere(pid)
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()
    return None if fields[_STATE] in _DEAD else int(fields[_START])


def _born_elsewhere(pid: int) -> int | None:
    """Where there is no /proc."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1_000)
    except psutil.Error:
        return None


def runs(pid: int, module: str) -> bool:
    """Whether a process was started as `python -m module`, or is a fork of one that was."""
    try:
        return module in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def send(pid: int, started: int, number: signal.Signals) -> None:
    """Signals the process, if it is still the one that started then."""
    if born(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
