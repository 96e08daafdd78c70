"""Find processes that should have ended: those of a killed run, and those of ended tasks.

Every process of a run is marked, so that the next run can kill what a killed run left: TaskMaster's
processes by an option of the interpreter, since an ordinary user cannot read their environment, and
the others by their environment. The commands of the load start daemons, which must end with their
attempt.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
#: An environment variable of each process, inherited by all its descendants.
_MARK = "TASKMASTER_CHAOS"
#: Options of each Python process of TaskMaster, see `python_process.marks`.
OPTIONS = ("-X", f"taskmaster_chaos={ROOT}")
#: Longer than any run.
_DAEMON = ("sleep", "86413")
#: Shell code that starts a daemon: its parents end, and it leaves the session.
START_DAEMON = f"(setsid {' '.join(_DAEMON)} >/dev/null 2>&1 &)"


def marked(**variables: str) -> dict[str, str]:
    """Return the environment of a process of the run."""
    return {**os.environ, **variables, _MARK: str(ROOT)}


def kill_marked() -> int:
    """Kill all processes that runs of this checkout have left; return their number."""
    killed = 0
    for process in _marked():
        with contextlib.suppress(psutil.Error):
            process.kill()
            killed += 1
    return killed


def count_daemons() -> int:
    """Return the number of running daemons that tasks of this checkout have started."""
    count = 0
    for process in _marked():
        with contextlib.suppress(psutil.Error):
            count += tuple(process.cmdline()) == _DAEMON
    return count


def _marked() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if OPTIONS[1] in process.cmdline() or process.environ().get(_MARK) == str(ROOT):
                yield process
