"""Identify processes of this host by their pid and start time."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

#: Fields of /proc/PID/stat, counted after the process name, which may contain any character.
_STATE, _START = 0, 19
_DEAD = (b"Z", b"X")


def start_time(pid: int) -> int | None:
    """Return the start time of a process in kernel units, or None if it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_time_without_proc(pid)
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()
    return None if fields[_STATE] in _DEAD else int(fields[_START])


def _start_time_without_proc(pid: int) -> int | None:
    """Return the start time on systems without /proc."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1_000)
    except psutil.Error:
        return None


def runs_module(pid: int, module: str) -> bool:
    """Return whether a process was started as `python -m module`.

    A fork of such a process counts, too.
    """
    import psutil

    try:
        return module in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def send_signal(pid: int, started: int, number: signal.Signals) -> None:
    """Signal a process if it still has this start time."""
    if start_time(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
