"""Show the progress of a run: live in a terminal, otherwise a line at intervals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from chaos.faults import FaultInjector
from chaos.fleet import ChaosFleet
from chaos.load import LoadGenerator

_LIVE_S = 0.5
_LINE_S = 10.0
_NEWEST = 8


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """Hold the numbers of tasks and of ended tasks. None: the database does not answer."""

    stored: int
    ended: int
    #: Number of schedules that still have due times.
    schedules: int = 0


class ChaosProgress:
    """Show the progress until it is cancelled."""

    def __init__(
        self,
        console: Console,
        fleet: ChaosFleet,
        load: LoadGenerator,
        injector: FaultInjector,
        tally: Callable[[], TaskCounts | None],
    ) -> None:
        self._console = console
        self._fleet = fleet
        self._load = load
        self._injector = injector
        self._tally = tally
        self._last = TaskCounts(0, 0)
        self._until = time.monotonic()
        self._phase = ""

    def phase(self, name: str, seconds: float) -> None:
        """Start a phase that takes at most this long."""
        self._phase, self._until = name, time.monotonic() + seconds

    async def run(self) -> None:
        """Update the display in a loop."""
        if not self._console.is_terminal:
            await self._print_lines()
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                await self._ask()
                newest = [Text(f"  {line}") for line in self._news(0)[-_NEWEST:]]
                live.update(Group(Text(self._line()), *newest), refresh=True)
                await asyncio.sleep(_LIVE_S)

    async def _print_lines(self) -> None:
        printed, next_at = 0, time.monotonic()
        while True:
            for line in self._news(printed):
                self._console.print(f"  {line}", markup=False, highlight=False)
                printed += 1
            if time.monotonic() >= next_at:
                await self._ask()
                self._console.print(self._line(), markup=False, highlight=False)
                next_at += _LINE_S
            await asyncio.sleep(_LIVE_S)

    async def _ask(self) -> None:
        tally = await asyncio.to_thread(self._tally)
        if tally is not None:
            self._last = tally

    def _line(self) -> str:
        left = max(0.0, self._until - time.monotonic())
        return (
            f"{self._phase}, {left:.0f} s left: {self._load.acknowledged:,} submitted, "
            f"{self._last.ended:,} ended, {len(self._injector.injected)} faults injected, "
            f"{len(self._fleet.unexpected_exits)} unexpected exits"
        )

    def _news(self, since: int) -> list[str]:
        """Return faults and unexpected exits in the order in which they became known."""
        faults = [
            (each.ended, f"{_clock(each.began)} {each.kind} {each.target} {each.note}")
            for each in self._injector.injected
        ]
        unexpected_exits = [
            (each.at, f"{_clock(each.at)} {each.name} exited unexpectedly: {each.how}")
            for each in self._fleet.unexpected_exits
        ]
        return [line.rstrip() for _, line in sorted(faults + unexpected_exits)][since:]


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
