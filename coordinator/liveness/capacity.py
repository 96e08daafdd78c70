"""Write the capacity of this coordinator's workers to the database.

A task's page reads it to show why the task is waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.messages import QueueCapacity
from taskmaster.tasks.queries.pending_reason import CAPACITY_AGE_MAX_S
from taskmaster.tasks.store import async_store as store

#: Shortest time in seconds between two writes. A write happens only if the capacity has changed.
_INTERVAL_S = 1.0
#: Seconds after which an unchanged capacity is written again, so that readers do not take it for
#: outdated.
_REFRESH_S = CAPACITY_AGE_MAX_S / 3


class CapacityWriter:
    """Keep the capacity rows of one coordinator up to date."""

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
        self._written: list[QueueCapacity] = []
        self._written_at = float("-inf")

    async def run(self) -> None:
        """Write changes until cancelled."""
        # A write that fails is repeated. Until then the stored rows age.
        await run_every(_INTERVAL_S, self._write, retry_on=OUTAGE_ERRORS)

    async def _write(self) -> None:
        """Write the capacity if it has changed or its rows are about to age."""
        capacity, now = self.capacity(), self._clock()
        if capacity != self._written or now - self._written_at >= _REFRESH_S:
            async with self._database.connection() as connection:
                await store.replace_capacity(connection, self._coordinator, capacity)
            self._written, self._written_at = capacity, now

    def capacity(self) -> list[QueueCapacity]:
        """Return one entry for each queue that a worker names, and one for all other queues.

        The entry for all other queues has an empty name. Draining workers do not count.
        """
        workers = [each for each in self._dispatcher.workers.values() if not each.draining]
        named = {queue for worker in workers for queue in worker.queues or ()}
        totals = {queue: [0, 0, 0] for queue in ("", *sorted(named))}
        for worker in workers:
            for queue in totals if worker.queues is None else worker.queues:
                total = totals[queue]
                total[0] += 1
                total[1] += worker.slots
                total[2] += max(0, worker.free_slots)
        return [QueueCapacity(queue, *total) for queue, total in totals.items()]
