"""Record executions from inside the tasks, in files that no fault affects.

Each worker has a file. Each execution appends one line when it starts and one when it ends. Each
line is one write, so that lines of many processes never mix and a killed process leaves whole
lines:

    begin KEY TOKEN ATTEMPT PID WALL MONOTONIC
    end | raised KEY TOKEN ATTEMPT PID WALL MONOTONIC

KEY identifies the submission, TOKEN the execution. An unknown attempt is written as `-`.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

#: Environment variable with the path of this worker's file.
VARIABLE = "CHAOS_LEDGER"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Execution:
    """Hold one execution of a task. Times are wall-clock seconds."""

    key: str
    token: str
    worker: str
    attempt: int | None
    pid: int
    began: float
    ended: float | None = None
    #: Whether it returned: it ended and did not raise.
    returned: bool = False


@contextmanager
def execution(key: str, attempt: int) -> Iterator[str]:
    """Record the start and the end of the body; yield the token."""
    token = f"{os.getpid()}-{next(_numbers)}-{time.time_ns()}"
    _append("begin", key, token, attempt)
    try:
        yield token
    except BaseException:
        _append("raised", key, token, attempt)
        raise
    _append("end", key, token, attempt)


def shell(key: str, body: str) -> str:
    """Return a script that does the same around `body`, using only sh and date."""
    return (
        f"token=$$-$(date +%s%N); log() {{ read up rest < /proc/uptime; "
        f"printf '%s %s %s - %s %s %s\\n' $1 {key} $token $$ $(date +%s.%N) $up "
        f'>> "${VARIABLE}"; }}; log begin; {body}; log end'
    )


def read(folder: Path) -> list[Execution]:
    """Return all executions in the order of their start."""
    found: dict[str, Execution] = {}
    for file in sorted(folder.glob("*.log")):
        for line in file.read_text().splitlines():
            _parse_line(line.split(), file.stem, found)
    return sorted(found.values(), key=lambda each: each.began)


def _parse_line(fields: list[str], worker: str, found: dict[str, Execution]) -> None:
    what, key, token, attempt, pid, wall, _ = fields
    if what == "begin":
        number = None if attempt == "-" else int(attempt)
        found[token] = Execution(key, token, worker, number, int(pid), float(wall))
    else:
        found[token] = replace(found[token], ended=float(wall), returned=what == "end")


def _append(what: str, key: str, token: str, attempt: int) -> None:
    line = f"{what} {key} {token} {attempt} {os.getpid()} {time.time():.6f} {time.monotonic():.6f}"
    fd = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)
