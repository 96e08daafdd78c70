"""How late an event loop is: what a process that is alive but does nothing shows first."""

from __future__ import annotations

import asyncio
import time

_TICK_S = 0.1


class LoopLag:
    """The worst delay of this process's event loop since it was last asked."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def run(self) -> None:
        """Watches the loop until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            self._worst_s = max(self._worst_s, time.monotonic() - before - _TICK_S)

    def take_ms(self) -> int:
        """The worst delay in milliseconds; from here on a new one counts."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return round(worst_s * 1_000)
