"""Limit the rate of an action: immediate at low rates, evenly spaced at high rates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class RateLimit:
    """Allow one action every `interval_s` seconds on average, with bursts of up to `burst`.

    It implements the generic cell rate algorithm (ITU-T I.371). Its only state is one time.
    """

    def __init__(
        self, interval_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = interval_s
        self._burst = burst
        self._clock = clock
        #: When the next action would be due with even spacing.
        self._due = float("-inf")

    def reserve(self) -> float:
        """Reserve the next action. Return the seconds to wait before it."""
        now = self._clock()
        due = max(self._due, now)
        wait_s = max(0.0, due - (self._burst - 1) * self._interval_s - now)
        self._due = due + self._interval_s
        return wait_s

    async def wait(self) -> None:
        """Reserve the next action and wait for it."""
        await asyncio.sleep(self.reserve())
