"""Run several processes as a unit: prefixed logs, health checks and an orderly shutdown."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from taskmaster.workers import python_process
from taskmaster.workers.security import private_process

#: How long a part may take to stop, in seconds: a worker's grace period of 30 s and a margin.
_STOP_S = 40.0
_CHECK_S = 0.2
#: Pause before a restart, in seconds, so that a failing part does not restart in a busy loop.
_RESTART_S = 1.0
#: Pattern of the coordinator's statistics, which it logs every ten seconds. They are omitted,
#: because they would hide important lines.
_STATISTICS = re.compile(rb"\S+ INFO +figures ")
_COLOURS = (36, 35, 32, 33, 34, 31)
#: Length of the listen queue, in place of Twisted's default of 50.
_BACKLOG = 2048


def web_command(port: int) -> list[str]:
    """Return the command line of a web process that listens on a loopback port."""
    endpoint = f"tcp:port={port}:interface=127.0.0.1:backlog={_BACKLOG}"
    daphne = [sys.executable, "-m", "daphne", "-v", "0", "-e", endpoint]
    return [*daphne, "taskmaster.taskmaster_site.asgi:application"]


@dataclass(slots=True)
class ManagedProcess:
    """Define one process: its command line and its health check.

    The command is `private_process.command` of a Python program, which gets its secrets through a
    pipe.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    process: asyncio.subprocess.Process | None = field(default=None, init=False)


class Followers(Protocol):
    """Define processes that a part runs. They are ready after all parts and stop before them."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment variables for the parts; the followers inherit them."""

    @property
    def options(self) -> Sequence[str]:
        """Return the options of the interpreter for the parts; the followers inherit them."""

    async def ready(self) -> bool:
        """Return whether the followers are ready for work."""

    async def stop(self) -> None:
        """End the followers while the parts run. Returns when they have ended, or on failure."""

    async def end(self) -> None:
        """End the remaining followers after all parts have stopped."""

    def skip_grace(self) -> None:
        """Shorten the shutdown."""


class ProcessGroup:
    """Run processes that start and end together.

    They are given in stages. Shutdown proceeds from the last stage to the first; the processes of a
    stage stop concurrently.
    """

    def __init__(self, stages: Sequence[Sequence[ManagedProcess]], followers: Followers) -> None:
        self._stages = stages
        self._followers = followers
        self._children = [child for stage in stages for child in stage]
        self._stopping = asyncio.Event()
        self._killed = False
        self._all_ready = False
        self._followers_ended = False

    def stop(self) -> None:
        """Shut down in order. The second call kills."""
        if not self._stopping.is_set():
            print("\nStopping; waiting for running tasks. Press Ctrl+C again to kill.", flush=True)
            self._stopping.set()
            return
        self._killed = True
        self._followers.skip_grace()
        if self._followers_ended:
            for child in self._children:
                _kill(child)

    async def run(self, ready_s: float, on_ready: Callable[[], None]) -> int:
        """Start all parts, call `on_ready` when all are ready, and run until `stop`.

        Returns the exit code. If a part ends before all are ready, the others stop and the code
        is 1. A part that ends later is restarted, unless it exited with code 0, as after a drain.
        """
        for child in self._children:
            await self._start(child)
        supervisors = [asyncio.create_task(self._supervise(child)) for child in self._children]
        ready_check = asyncio.create_task(self._ready(ready_s, on_ready))
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([*supervisors, stop], return_when=asyncio.FIRST_COMPLETED)
        ready_check.cancel()
        failed = not self._stopping.is_set()
        self._stopping.set()
        if failed:
            self._followers.skip_grace()
        await self._followers.stop()
        self._followers_ended = True
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._stop(child) for child in stage))
        await self._followers.end()
        for task in (stop, *supervisors):
            task.cancel()
        return 1 if failed or self._killed else 0

    async def _start(self, child: ManagedProcess) -> None:
        program, *arguments = child.command
        environment, secrets = private_process.pass_on(
            python_process.environment({**os.environ, **self._followers.environment}),
            private_process.secrets_in(os.environ),
        )
        try:
            # A new session, so that Ctrl+C in the terminal signals only this process.
            child.process = await asyncio.create_subprocess_exec(
                program,
                *self._followers.options,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                pass_fds=[secrets],
                start_new_session=True,
            )
        finally:
            os.close(secrets)
        width = max(len(each.name) for each in self._children)
        prefix = _prefix(child.name.ljust(width), self._children.index(child))
        asyncio.create_task(_forward_output(child.process, prefix), name=f"log-{child.name}")  # noqa: RUF006

    async def _supervise(self, child: ManagedProcess) -> None:
        """Restart a part when it ends. Return if it ends before all parts are ready, or on stop."""
        while True:
            assert child.process is not None
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            cause = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            if self._all_ready and code == 0:
                print(f"{child.name} exited after a requested shutdown.", flush=True)
                await self._stopping.wait()
                return
            if not self._all_ready:
                print(f"{child.name} ended with {cause}; stopping all processes.", flush=True)
                return
            print(f"{child.name} ended with {cause}; restarting it.", flush=True)
            await asyncio.sleep(_RESTART_S)
            if self._stopping.is_set():
                return
            await self._start(child)

    async def _ready(self, ready_s: float, on_ready: Callable[[], None]) -> None:
        waiting = list(self._children)
        try:
            async with asyncio.timeout(ready_s):
                while waiting:
                    waiting = [child for child in waiting if not await child.ready()]
                    await asyncio.sleep(_CHECK_S if waiting else 0)
                while not await self._followers.ready():
                    await asyncio.sleep(_CHECK_S)
        except TimeoutError:
            names = ", ".join(child.name for child in waiting) or "the workers"
            print(f"Not ready after {ready_s:.0f} s: {names}. See the log above.", flush=True)
            self.stop()
            return
        self._all_ready = True
        on_ready()

    async def _stop(self, child: ManagedProcess) -> None:
        assert child.process is not None
        if self._killed:
            _kill(child)
        elif child.process.returncode is None:
            child.process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await child.process.wait()
        except TimeoutError:
            print(f"{child.name} did not stop within {_STOP_S:.0f} s; killing it.", flush=True)
            _kill(child)
            await child.process.wait()


def _kill(child: ManagedProcess) -> None:
    """Kill the part's process group, because a killed supervisor cannot end its children."""
    if child.process is not None and child.process.returncode is None:
        os.killpg(child.process.pid, signal.SIGKILL)


def _prefix(name: str, index: int) -> str:
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        return f"{name} | "
    return f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{name} |\x1b[0m "


async def _forward_output(process: asyncio.subprocess.Process, prefix: str) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            # The line exceeds the reader's limit. Skip this part and read on.
            continue
        if not line:
            return
        if _STATISTICS.match(line):
            continue
        print(prefix + line.decode(errors="replace").rstrip("\n"), flush=True)
