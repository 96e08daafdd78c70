"""Runs several processes as one: prefixed logs, health checks, an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: The longest that a part may take to stop: a worker's own grace and a little more.
_STOP_S = 40.0
_CHECK_S = 0.2
#: So that a part that cannot live is no busy loop.
_RESTART_S = 1.0
_COLOURS = (36, 35, 32, 33, 34, 31)


@dataclass(slots=True)
class Child:
    """One process: how it is called, and how it is asked whether it is ready."""

    name: str
    command: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    process: asyncio.subprocess.Process | None = field(default=None, init=False)


class Followers(Protocol):
    """What one of the processes runs: ready after all of them, and stopped before any."""

    async def ready(self) -> bool:
        """Whether they do their work."""

    async def stop(self) -> None:
        """Ends them; returns when they have gone."""

    def hurry(self) -> None:
        """Ends them sooner."""


class Fleet:
    """Processes that live and end together.

    They are given in stages: stopped last stage first, those of one stage at the same time.
    """

    def __init__(self, stages: Sequence[Sequence[Child]], followers: Followers) -> None:
        self._stages = stages
        self._followers = followers
        self._children = [child for stage in stages for child in stage]
        self._stopping = asyncio.Event()
        self._killed = False
        self._all_ready = False
        self._followers_gone = False

    def stop(self) -> None:
        """The first time: an orderly end. The second time: at once."""
        if not self._stopping.is_set():
            print("\nStopping: tasks that run may finish; Ctrl+C again ends at once.", flush=True)
            self._stopping.set()
            return
        self._killed = True
        self._followers.hurry()
        if self._followers_gone:
            for child in self._children:
                _kill(child)

    async def run(self, ready_s: float, announce: Callable[[], None]) -> int:
        """Starts all, announces them when each is ready, runs until `stop`; the exit code.

        A part that ends before all were ready stops the others, and the code is 1. One that ends
        later is started again, unless it left with code 0: somebody drained it.
        """
        for child in self._children:
            await self._start(child)
        ends = [asyncio.create_task(self._keep(child)) for child in self._children]
        readying = asyncio.create_task(self._ready(ready_s, announce))
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([*ends, stop], return_when=asyncio.FIRST_COMPLETED)
        readying.cancel()
        failed = not self._stopping.is_set()
        self._stopping.set()
        if failed:
            self._followers.hurry()
        await self._followers.stop()
        self._followers_gone = True
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._stop(child) for child in stage))
        for task in (stop, *ends):
            task.cancel()
        return 1 if failed or self._killed else 0

    async def _start(self, child: Child) -> None:
        # A session of its own: Ctrl+C in the terminal reaches this process alone.
        child.process = await asyncio.create_subprocess_exec(
            *child.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        width = max(len(each.name) for each in self._children)
        prefix = _prefix(child.name.ljust(width), self._children.index(child))
        asyncio.create_task(_relay(child.process, prefix), name=f"log-{child.name}")  # noqa: RUF006

    async def _keep(self, child: Child) -> None:
        """Returns when a part ends that was not ready yet; later ends are mended."""
        while True:
            assert child.process is not None
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            if self._all_ready and code == 0:
                print(f"{child.name} has left, as it was asked to.", flush=True)
                await self._stopping.wait()
                return
            if not self._all_ready:
                print(f"{child.name} ended with {how}; stopping the others.", flush=True)
                return
            print(f"{child.name} ended with {how}; it is started again.", flush=True)
            await asyncio.sleep(_RESTART_S)
            if self._stopping.is_set():
                return
            await self._start(child)

    async def _ready(self, ready_s: float, announce: Callable[[], None]) -> None:
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
            print(f"Not ready after {ready_s:.0f} s: {names}. Its log is above.", flush=True)
            self.stop()
            return
        self._all_ready = True
        announce()

    async def _stop(self, child: Child) -> None:
        assert child.process is not None
        if self._killed:
            _kill(child)
        elif child.process.returncode is None:
            child.process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await child.process.wait()
        except TimeoutError:
            print(f"{child.name} did not stop in {_STOP_S:.0f} s; killed.", flush=True)
            _kill(child)
            await child.process.wait()


def _kill(child: Child) -> None:
    """With all that it started: a killed supervisor cannot end its own children."""
    if child.process is not None and child.process.returncode is None:
        os.killpg(child.process.pid, signal.SIGKILL)


def _prefix(name: str, index: int) -> str:
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        return f"{name} | "
    return f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{name} |\x1b[0m "


async def _relay(process: asyncio.subprocess.Process, prefix: str) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            # A line beyond the reader's limit: its rest follows.
            continue
        if not line:
            return
        print(prefix + line.decode(errors="replace").rstrip("\n"), flush=True)
