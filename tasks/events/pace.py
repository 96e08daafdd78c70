"""How often something may be done: at once while it is seldom, evenly when it is much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pace:
    """One turn every `interval_s` on average, and up to `burst` of them without a pause before.

    The generic cell rate algorithm (ITU-T I.371): one moment is all that is kept.
    """

    def __init__(
        self, interval_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = interval_s
        self._burst = burst
        self._clock = clock
        #: When the next turn would be due if all were spread evenly.
        self._due = float("-inf")

    def take(self) -> float:
        """Takes a turn; returns how many seconds to wait for it."""
        now = self._clock()
        due = max(self._due, now)
        wait_s = max(0.0, due - (self._burst - 1) * self._interval_s - now)
        self._due = due + self._interval_s
        return wait_s

    async def turn(self) -> None:
        """Waits for the next turn."""
        await asyncio.sleep(self.take())
