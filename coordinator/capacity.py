"""Says what this coordinator's workers can take, so that a task's page can tell why it waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from coordinator.database import TROUBLE, Database
from coordinator.dispatcher import Dispatcher
from tasks import store
from tasks.reasons import SILENCE_S
from tasks.reports import Capacity

#: Written at most this often, and only what has changed.
_ROUND_S = 1.0
#: Written this often although nothing has changed: the sign of life.
_SIGN_S = SILENCE_S / 3


class CapacityWriter:
    """Keeps the rows of one coordinator up to date."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        coordinator: UUID,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._coordinator = coordinator
        self._clock = clock
        self._written: list[Capacity] = []
        self._written_at = float("-inf")

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            capacity, now = self.capacity(), self._clock()
            if capacity != self._written or now - self._written_at >= _SIGN_S:
                try:
                    async with self._database.connection() as connection:
                        await store.write_capacity(connection, self._coordinator, capacity)
                    self._written, self._written_at = capacity, now
                except TROUBLE:
                    # Tried again with the next round; what is written grows old meanwhile.
                    pass
            await asyncio.sleep(_ROUND_S)

    def capacity(self) -> list[Capacity]:
        """One entry for each queue that a worker names, and one for every other queue."""
        links = [link for link in self._dispatcher.links.values() if not link.draining]
        named = {queue for link in links for queue in link.queues or ()}
        totals = {queue: [0, 0, 0] for queue in ("", *sorted(named))}
        for link in links:
            for queue in totals if link.queues is None else link.queues:
                total = totals[queue]
                total[0] += 1
                total[1] += link.slots
                total[2] += max(0, link.free_slots)
        return [Capacity(queue, *total) for queue, total in totals.items()]
