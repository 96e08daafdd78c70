"""Runs other programs from a process that runs gRPC, which may neither fork nor Popen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

#: How often it is looked whether a program has ended.
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended, and what it said."""

    code: int
    output: str
    errors: str


async def run(argv: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Runs a program to its end, in a session of its own.

    Whoever is cancelled kills it, with what it started in that session. Raises FileNotFoundError
    when there is no such program.
    """
    # Files: nobody has to read while it runs, and none of its children can hold up the end.
    with TemporaryFile() as output, TemporaryFile() as errors:
        pid = os.posix_spawnp(
            argv[0],
            list(argv),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT],
        )
        try:
            code = await _ended(pid)
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            _reap(pid)
            raise
        return Finished(code, _text(output), _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


async def _ended(pid: int) -> int:
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        await asyncio.sleep(_LOOK_S)


def _reap(pid: int) -> None:
    """It ends at once; else the loop comes back to it."""
    with contextlib.suppress(ChildProcessError):
        if not os.waitpid(pid, os.WNOHANG)[0]:
            asyncio.get_running_loop().call_later(_LOOK_S, _reap, pid)
