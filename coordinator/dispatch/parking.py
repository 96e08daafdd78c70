"""Park due tasks whose name no connected worker knows, and return them when a worker knows it.

During a rolling deployment the workers know different names. A claim that finds a name unknown to
its workers has four outcomes:

- Another worker of this coordinator knows it, and has no free slot. The task is released.
- A worker of another coordinator knows it. The task is released.
- The queue has workers, and none of them knows it. The task is parked: its status is `waiting`, and
  no claim reads it any more.
- The last worker of the queue has left since the claim. The task is released.

In the first two cases the name is remembered as reserved. Later claims for workers that do not know
it skip its tasks, so nothing is claimed and released in circles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from taskmaster.coordinator.dispatch.connections import Capacity
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.fleet import CAPACITY_AGE_MAX_S
from taskmaster.tasks.messages import ClaimedTask, Lease, QueueName, TaskChange
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as store

#: Seconds between two checks of the reserved names.
_INTERVAL_S = 1.0
#: Seconds between two searches of the leader for parked tasks that no coordinator has returned.
_SEARCH_S = 10.0
#: Most tasks that one statement returns to their queues. Others follow in further statements.
_BATCH = 10_000


class Parking:
    """Settle the claimed tasks of one coordinator that found no worker."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        coordinator: UUID,
        publisher: EventPublisher,
        *,
        on_release: Callable[[Sequence[Lease]], None],
        is_leader: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._coordinator = coordinator
        self._publisher = publisher
        self._on_release = on_release
        self._is_leader = is_leader
        self._clock = clock
        #: Called when tasks are pending again, or may be claimed again.
        self.on_pending: Callable[[], None] = lambda: None
        #: The reserved names of each queue.
        self._reserved: dict[str, set[str]] = {}
        self._searched_at = float("-inf")

    def skipped(self, queue: str, groups: Collection[Capacity]) -> list[str]:
        """Return the names in this queue that a claim for these workers leaves to others."""
        if not self._reserved:
            return []
        serving = [each for each in groups if each.serves(queue)]
        names = self._reserved.get(queue, ())
        return [name for name in names if not any(each.knows(name) for each in serving)]

    async def settle(self, left: Sequence[ClaimedTask], group: Capacity) -> None:
        """Release or park tasks that were claimed for these workers and found no free slot.

        Raises the errors in OUTAGE_ERRORS. Then `lost_claims` releases the tasks.
        """
        knows = self._dispatcher.knows
        unknown = [task for task in left if not knows(task.queue, task.name)]
        parked = await self._park(unknown) if unknown else set()
        self._reserve(
            QueueName(task.queue, task.name)
            for task in left
            if task.task_id not in parked and not group.knows(task.name)
        )
        released = [Lease(t.task_id, t.lease) for t in left if t.task_id not in parked]
        if released:
            self._on_release(released)

    def _reserve(self, names: Iterable[QueueName]) -> None:
        for queue, name in names:
            self._reserved.setdefault(queue, set()).add(name)

    async def _park(self, tasks: Sequence[ClaimedTask]) -> set[int]:
        """Park the tasks whose name no worker of their queue knows, and due tasks of these names.

        Return the ids of those in `tasks` that no worker can run.
        """
        async with self._database.connection() as connection:
            known = await _known(connection, {QueueName(t.queue, t.name) for t in tasks})
            served = await store.filter_served_queues(
                connection, {t.queue for t in tasks}, silence_s=CAPACITY_AGE_MAX_S
            )
            unknown = [
                t for t in tasks if t.queue in served and QueueName(t.queue, t.name) not in known
            ]
            if not unknown:
                return set()
            leases = [Lease(task.task_id, task.lease) for task in unknown]
            self._publish_parked(await store.park_tasks(connection, leases, self._coordinator))
            more = True
            while more:
                parked = await store.park_due_tasks(connection, unknown, limit=_BATCH)
                self._publish_parked(parked)
                more = len(parked) == _BATCH
        # A worker that knows the name may have connected between the statements. Then its
        # coordinator has searched before the tasks were parked.
        await self.unpark()
        return {task.task_id for task in unknown}

    def _publish_parked(self, tasks: Sequence[TaskChange]) -> None:
        self._publisher.add_batch(EventBatch(EventKind.PARKED, tasks, messages.parked))

    async def unpark(self) -> None:
        """Return all parked tasks whose name a connected worker knows to their queues.

        It is called when the connected workers know more names than before. Raises the errors in
        OUTAGE_ERRORS; the leader repeats the search.
        """
        async with self._database.connection() as connection:
            waiting = await store.list_waiting_names(connection)
            known = await _known(connection, waiting) if waiting else set()
            more = bool(known)
            while more:
                tasks = await store.unpark_tasks(connection, known, limit=_BATCH)
                self._publisher.add_batch(EventBatch(EventKind.RELEASED, tasks, messages.unparked))
                more = len(tasks) == _BATCH
                if tasks:
                    self.on_pending()

    async def run(self) -> None:
        """Check the reserved names, and as leader search for forgotten tasks, until cancelled."""
        await run_every(_INTERVAL_S, self._iterate, retry_on=OUTAGE_ERRORS)

    async def _iterate(self) -> None:
        if self._reserved:
            await self._check_reserved()
        if self._is_leader() and self._clock() - self._searched_at >= _SEARCH_S:
            await self.unpark()
            self._searched_at = self._clock()

    async def _check_reserved(self) -> None:
        """Drop the reserved names that no connected worker knows any more.

        The next claim finds their tasks and parks them.
        """
        before = {
            QueueName(queue, name) for queue, names in self._reserved.items() for name in names
        }
        async with self._database.connection() as connection:
            known = await _known(connection, before)
        for queue, name in before - known:
            self._reserved[queue].discard(name)
        self._reserved = {queue: names for queue, names in self._reserved.items() if names}
        if before - known:
            self.on_pending()


async def _known(connection: Connection, wanted: Collection[QueueName]) -> set[QueueName]:
    return await store.filter_known_names(connection, wanted, silence_s=CAPACITY_AGE_MAX_S)
