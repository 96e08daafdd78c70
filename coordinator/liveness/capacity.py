"""Write the capacity of this coordinator's workers, and the task names that they know.

A task's page reads both to show why the task is waiting. The names also decide which tasks are
accepted, parked and returned to their queues.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.fleet import CAPACITY_AGE_MAX_S
from taskmaster.tasks.messages import KnownByWorkers, QueueCapacity
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
        on_new_names: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._coordinator = coordinator
        #: Called when workers know names that the stored rows did not have.
        self._on_new_names = on_new_names
        self._clock = clock
        self._written: list[QueueCapacity] = []
        self._written_names: set[KnownByWorkers] = set()
        self._written_at = float("-inf")

    async def run(self) -> None:
        """Write changes until cancelled."""
        # A write that fails is repeated. Until then the stored rows age.
        await run_every(_INTERVAL_S, self._iterate, retry_on=OUTAGE_ERRORS)

    async def _iterate(self) -> None:
        """Write names and capacity. Names come first: a capacity implies that they are known."""
        has_new_names = await self._write_names()
        await self._write()
        if has_new_names:
            await self._on_new_names()

    async def _write_names(self) -> bool:
        """Write the names that the workers know if they have changed. Return whether any is new."""
        names, before = self._dispatcher.known_names(), self._written_names
        if names == before:
            return False
        async with self._database.connection() as connection:
            await store.replace_known_names(connection, self._coordinator, names)
        self._written_names = names
        return bool(names - before)

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
