"""Find and end all processes of one demo run by a mark.

Workers outlive their coordinator and have their own sessions, so neither parent pids nor process
groups identify them. Their rows are readable only while the database answers. The mark is in the
command lines of TaskMaster's processes, whose environment is hidden from their own user, and in the
environment of the processes that tasks start. It is random, so a process that carries it descends
from this run.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Self

import psutil

from taskmaster.taskmaster_site import data
from taskmaster.tasks.errors import ConfigurationError

VARIABLE = "TASKMASTER_DEMO_RUN"
#: Option of the interpreter without an effect, see `python_process.marks`.
_OPTION = "taskmaster_demo_run"
_TOKEN_BYTES = 16
_TICK_S = 0.2
#: How long a signal may take before the next, stronger one, in seconds.
_TERM_S = 5.0
_KILL_S = 5.0


def runs_folder() -> Path:
    """Return the folder for the marks of the runs with this data folder."""
    return data.folder() / "runs"


class RunMark:
    """Hold a mark and a file that stays locked while its run lives.

    The kernel releases the lock even if the run is killed, so a later run can find its processes.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path = path
        self._file = file
        self.token = path.name

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Return a new mark. Raises ConfigurationError if the folder belongs to another user."""
        path = folder / secrets.token_hex(_TOKEN_BYTES)
        part = path.with_suffix(".part")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = part.open("w+")
        except PermissionError as error:
            raise ConfigurationError(
                f"{error.filename} belongs to another user, who ran TaskMaster in this folder. Run "
                "TaskMaster as that user, or use a separate checkout."
            ) from None
        fcntl.flock(file, fcntl.LOCK_EX)
        # Rename the file only after locking it, because an unlocked mark counts as abandoned.
        part.rename(path)
        return cls(path, file)

    @classmethod
    def abandoned(cls, folder: Path) -> Iterator[Self]:
        """Yield the marks of killed runs. The caller releases each mark."""
        for path in sorted(folder.glob("?" * 2 * _TOKEN_BYTES)):
            with contextlib.suppress(OSError):
                file = path.open("r+")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    continue
                yield cls(path, file)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables for the first processes of the run; all others inherit them."""
        return {VARIABLE: self.token}

    @property
    def options(self) -> list[str]:
        """Return the options for the first processes of the run; all others get them, too."""
        return ["-X", f"{_OPTION}={self.token}"]

    def add_note(self, text: str) -> None:
        """Store a note for the run that finds this one abandoned."""
        self._file.write(f"{text}\n")
        self._file.flush()

    def notes(self) -> list[str]:
        """Return the stored notes."""
        self._file.seek(0)
        return self._file.read().split()

    def release(self) -> None:
        """Delete the mark."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def processes(self) -> list[psutil.Process]:
        """Return the live processes that carry the mark."""
        return [process for process in psutil.process_iter() if self._has_mark(process)]

    def _has_mark(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if self.options[1] in process.cmdline():
                return True
        # A process that has ended, is hidden, or belongs to another user cannot be read.
        with contextlib.suppress(psutil.Error, OSError):
            return process.environ().get(VARIABLE) == self.token
        return False

    async def end(
        self, grace_s: float = _TERM_S, grace_skipped: asyncio.Event | None = None
    ) -> int:
        """End all marked processes: SIGTERM, a second SIGTERM after `grace_s`, then SIGKILL.

        Returns the number of processes found at the start.
        """
        found = len(self.processes())
        # The second SIGTERM makes a worker hand its tasks back.
        if (
            found
            and not await self._ended_after(signal.SIGTERM, grace_s, grace_skipped)
            and not await self._ended_after(signal.SIGTERM, _TERM_S)
        ):
            await self._ended_after(signal.SIGKILL, _KILL_S)
        return found

    async def _ended_after(
        self, number: signal.Signals, seconds: float, grace_skipped: asyncio.Event | None = None
    ) -> bool:
        deadline = time.monotonic() + seconds
        remaining = self.processes()
        _send(_topmost(remaining), number)
        while (
            remaining
            and time.monotonic() < deadline
            and not (grace_skipped and grace_skipped.is_set())
        ):
            if number == signal.SIGKILL:
                # Signal every process in each round, because one may have forked in the interim.
                _send(remaining, number)
            await asyncio.sleep(_TICK_S)
            remaining = self.processes()
        return not remaining


def _topmost(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the processes whose parent is not in the list. Each ends its own children."""
    pids = {process.pid for process in processes}
    heads = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in pids:
                heads.append(process)
    return heads


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        # psutil compares start times, so that a reused pid gets no signal.
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
