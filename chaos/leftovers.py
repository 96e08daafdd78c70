"""Marks whatever a run starts, so that nothing of it is left even if the run itself was killed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
#: In the environment of each process, and so of all that it starts in turn.
_MARK = "TASKMASTER_CHAOS"


def marked(**variables: str) -> dict[str, str]:
    """The environment of a process of the run."""
    return {**os.environ, **variables, _MARK: str(ROOT)}


def kill_marked() -> int:
    """Kills all that runs of this checkout have left; returns how many that were."""
    killed = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == str(ROOT):
                process.kill()
                killed += 1
    return killed
