"""Run other programs from a process that runs gRPC.

Such a process may use neither fork nor Popen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

#: Interval between two checks whether a program has ended.
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Hold the exit code and the output of a program."""

    code: int
    output: str
    errors: str


async def run(argv: Sequence[str], environment: Mapping[str, str]) -> CommandResult:
    """Run a program to its end, in its own session.

    On cancellation its process group is killed. Raises FileNotFoundError when the program does not
    exist.
    """
    # Output goes to files. They need no reader while the program runs, and a child of the program
    # that keeps them open cannot delay the end.
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
        return CommandResult(code, _text(output), _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


async def _ended(pid: int) -> int:
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        await asyncio.sleep(_POLL_S)


def _reap(pid: int) -> None:
    """Reap a killed process. If it has not ended yet, try again later."""
    with contextlib.suppress(ChildProcessError):
        if not os.waitpid(pid, os.WNOHANG)[0]:
            asyncio.get_running_loop().call_later(_POLL_S, _reap, pid)
