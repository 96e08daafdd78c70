"""Measure the lag of an event loop. It is the first sign of a process that makes no progress."""

from __future__ import annotations

import asyncio
import time

#: Seconds between two measurements.
_TICK_S = 0.1


class LoopLag:
    """Record the longest delay of this process's event loop since the last reading."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    async def run(self) -> None:
        """Measure the loop's delay until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            self._longest_s = max(self._longest_s, time.monotonic() - before - _TICK_S)

    def take_ms(self) -> int:
        """Return the longest delay in milliseconds and reset it."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return round(longest_s * 1_000)
