"""What the tasks themselves say about their executions, in files that no fault touches.

Each worker has a file; each execution appends one line when it begins and one when it ends, with
one write each, so that lines of many processes never mix and a killed one leaves whole lines:

    begin KEY TOKEN ATTEMPT PID WALL MONOTONIC
    end | raised KEY TOKEN ATTEMPT PID WALL MONOTONIC

KEY is the submission's, TOKEN the execution's. Where the attempt is not known stands `-`.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

#: Names the file of this worker.
VARIABLE = "CHAOS_LEDGER"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a task. Times of the wall clock, in seconds."""

    key: str
    token: str
    worker: str
    attempt: int | None
    pid: int
    began: float
    ended: float | None = None
    #: It returned; one that has ended and did not raised.
    returned: bool = False


@contextmanager
def execution(key: str, attempt: int) -> Iterator[str]:
    """Writes down that the body runs, and how it ended; yields the token."""
    token = f"{os.getpid()}-{next(_numbers)}-{time.time_ns()}"
    _append("begin", key, token, attempt)
    try:
        yield token
    except BaseException:
        _append("raised", key, token, attempt)
        raise
    _append("end", key, token, attempt)


def shell(key: str, body: str) -> str:
    """A script that does the same around `body`, with nothing but sh and date."""
    return (
        f"token=$$-$(date +%s%N); say() {{ read up rest < /proc/uptime; "
        f"printf '%s %s %s - %s %s %s\\n' $1 {key} $token $$ $(date +%s.%N) $up "
        f'>> "${VARIABLE}"; }}; say begin; {body}; say end'
    )


def read(folder: Path) -> list[Execution]:
    """All executions, in the order in which they began."""
    found: dict[str, Execution] = {}
    for file in sorted(folder.glob("*.log")):
        for line in file.read_text().splitlines():
            _take(line.split(), file.stem, found)
    return sorted(found.values(), key=lambda each: each.began)


def _take(words: list[str], worker: str, found: dict[str, Execution]) -> None:
    what, key, token, attempt, pid, wall, _ = words
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
