"""How the run goes: live in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from chaos.faults import Injector
from chaos.fleet import Fleet
from chaos.load import Load

_LIVE_S = 0.5
_LINE_S = 10.0
_NEWEST = 8


@dataclass(frozen=True, slots=True)
class Tally:
    """How many tasks there are, and how many have ended; None while nobody can be asked."""

    stored: int
    ended: int


class Progress:
    """Shows until it is cancelled."""

    def __init__(
        self,
        console: Console,
        fleet: Fleet,
        load: Load,
        injector: Injector,
        tally: Callable[[], Tally | None],
    ) -> None:
        self._console = console
        self._fleet = fleet
        self._load = load
        self._injector = injector
        self._tally = tally
        self._last = Tally(0, 0)
        self._until = time.monotonic()
        self._phase = ""

    def phase(self, name: str, seconds: float) -> None:
        """What comes now, and for how long at most."""
        self._phase, self._until = name, time.monotonic() + seconds

    async def run(self) -> None:
        """The loop."""
        if not self._console.is_terminal:
            await self._print_lines()
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                await self._ask()
                newest = [Text(f"  {line}") for line in self._news(0)[-_NEWEST:]]
                live.update(Group(Text(self._line()), *newest), refresh=True)
                await asyncio.sleep(_LIVE_S)

    async def _print_lines(self) -> None:
        said, next_at = 0, time.monotonic()
        while True:
            for line in self._news(said):
                self._console.print(f"  {line}", markup=False, highlight=False)
                said += 1
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
            f"{self._last.ended:,} ended, {len(self._injector.injected)} faults over, "
            f"{len(self._fleet.deaths)} parts ended by themselves"
        )

    def _news(self, since: int) -> list[str]:
        """Faults and deaths, in the order in which they became known."""
        faults = [
            (each.ended, f"{_clock(each.began)} {each.kind} {each.target} {each.note}")
            for each in self._injector.injected
        ]
        deaths = [
            (each.at, f"{_clock(each.at)} {each.name} ended by itself: {each.how}")
            for each in self._fleet.deaths
        ]
        return [line.rstrip() for _, line in sorted(faults + deaths)][since:]


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
