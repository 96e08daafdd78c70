"""Hold tasks that the look-ahead has claimed, and offer them at their due time.

The look-ahead claims tasks that fall due soon, so that they start on time. A held task can still be
cancelled or rescheduled in the database. When it falls due, its lease is checked there, and the
task is dropped if the lease is not held any more. A due task that finds no free slot within
`hold_release_s` is released, so that a worker of another coordinator can run it. Tasks that the
slots take soon at the present pace are kept, because a release and a new claim cost more. Their
leases are checked again then.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import ClaimedTask, Lease
from taskmaster.tasks.store import async_store as store

#: Seconds after which due tasks are checked again when the database was not available.
_RETRY_S = 0.1
#: Number of due tasks that are offered at a time. A free slot then costs the same for any number.
_CHUNK = 100
#: Share of the prefetch for due tasks that exceed the slots. The rest is left to the claimer, which
#: may find tasks of a higher priority.
_PREFETCH = 0.5
#: Due tasks are kept that start within this many times `hold_release_s` at the present pace.
_KEPT = 4


class LookaheadQueue:
    """Keep a heap of tasks by due time, and a list of due tasks that wait for a free slot."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        conf: Settings,
        *,
        on_release: Callable[[Sequence[Lease]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._conf = conf
        self._on_release = on_release
        self._clock = clock
        #: Tasks that are not due yet, as (time when due, task id, task). The id breaks ties.
        self._heap: list[tuple[float, int, ClaimedTask]] = []
        #: Due tasks whose leases are being checked in the database. They still count as held.
        self._due: list[ClaimedTask] = []
        #: Due tasks with a confirmed lease that wait for a free slot, as (time of release, task).
        #: They are in the order of the offers.
        self._ready: list[tuple[float, ClaimedTask]] = []
        #: Time of the next search for tasks that must be released, while tasks wait.
        self._release_at = 0.0
        #: Number of due tasks that were offered since the search before.
        self._offered = 0
        #: Whether tasks were kept for longer than `hold_release_s` since their leases were checked.
        self._unconfirmed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap) + len(self._due) + len(self._ready)

    @property
    def capacity(self) -> int:
        """Return how many more tasks can be held."""
        return max(0, self._conf.held_max - len(self))

    def push(self, tasks: Sequence[ClaimedTask]) -> None:
        """Hold tasks until they are due."""
        now = self._clock()
        for task in tasks:
            heapq.heappush(self._heap, (now + task.due_in_s, task.task_id, task))
        self._changed.set()

    def capacity_freed(self) -> None:
        """Wake the loop if due tasks wait for a slot: one may be free."""
        if self._ready:
            self._changed.set()

    def leases(self) -> list[Lease]:
        """Return the leases of all held tasks."""
        tasks = [task for _, _, task in self._heap] + self._due
        tasks += [task for _, task in self._ready]
        return [Lease(task.task_id, task.lease) for task in tasks]

    def clear(self) -> list[Lease]:
        """Remove all held tasks. Return their leases."""
        leases = self.leases()
        self._heap.clear()
        self._due.clear()
        self._ready.clear()
        return leases

    def remove(self, is_paused: Callable[[str, str], bool]) -> list[Lease]:
        """Remove the held tasks whose queue and name are paused. Return their leases."""

        def stays(task: ClaimedTask) -> bool:
            return not is_paused(task.queue, task.name)

        before = self.leases()
        self._heap = [each for each in self._heap if stays(each[2])]
        heapq.heapify(self._heap)
        # `_offer_due` may be waiting for the database with this list.
        self._due[:] = [task for task in self._due if stays(task)]
        self._ready = [each for each in self._ready if stays(each[1])]
        kept = set(self.leases())
        return [lease for lease in before if lease not in kept]

    async def run(self) -> None:
        """Offer tasks as they fall due, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._wait_s()):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            self._offer_ready()
            if self._unconfirmed:
                await self._confirm_ready()
            await self._offer_due()

    def _wait_s(self) -> float | None:
        """Return the seconds until the next task is due or must be released, None without tasks."""
        moments = [self._heap[0][0]] if self._heap else []
        if self._ready:
            moments.append(self._release_at)
        return max(0.0, min(moments) - self._clock()) if moments else None

    async def _offer_due(self) -> None:
        """Check in the database that the tasks that are due are still held, then offer them."""
        now, due = self._clock(), self._due
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        if not due:
            return
        leases = [Lease(task.task_id, task.lease) for task in due]
        try:
            async with self._database.connection() as connection:
                held = await store.filter_held_leases(connection, leases)
        except OUTAGE_ERRORS:
            for task in due:
                heapq.heappush(self._heap, (now + _RETRY_S, task.task_id, task))
            due.clear()
            return
        release_at = self._clock() + self._conf.hold_release_s
        if not self._ready:
            self._offered, self._release_at = 0, release_at
        self._ready.extend((release_at, task) for task in due if task.task_id in held)
        self._ready.sort(key=lambda each: (-each[1].priority, each[1].scheduled_at))
        due.clear()
        self._offer_ready()

    async def _confirm_ready(self) -> None:
        """Drop the waiting tasks whose leases are not held any more, such as cancelled ones."""
        leases = [Lease(task.task_id, task.lease) for _, task in self._ready]
        try:
            async with self._database.connection() as connection:
                held = await store.filter_held_leases(connection, leases)
        except OUTAGE_ERRORS:
            return
        self._ready = [each for each in self._ready if each[1].task_id in held]
        self._unconfirmed = False

    def _offer_ready(self) -> None:
        """Offer due tasks in their order. Release those that wait for too long.

        Only free slots are used unless more tasks are due than there are slots.
        """
        prefetch = _PREFETCH if len(self._ready) > self._dispatcher.slots else 0.0
        start, left = 0, list[tuple[float, ClaimedTask]]()
        while start < len(self._ready) and self._dispatcher.has_capacity(prefetch=prefetch):
            chunk = self._ready[start : start + _CHUNK]
            start += len(chunk)
            waiting = self._dispatcher.offer([task for _, task in chunk], prefetch=prefetch)
            ids = {task.task_id for task in waiting}
            left.extend(each for each in chunk if each[1].task_id in ids)
        self._ready[:start] = left
        self._offered += start - len(left)
        if self._clock() >= self._release_at:
            self._release_late()

    def _release_late(self) -> None:
        """Release the tasks that have waited for `hold_release_s`, except those that start soon."""
        now, kept = self._clock(), self._ready[: _KEPT * self._offered]
        waiting = self._ready[len(kept) :]
        late = [Lease(task.task_id, task.lease) for at, task in waiting if at <= now]
        self._ready = kept + [each for each in waiting if each[0] > now]
        self._offered = 0
        again_at = now + self._conf.hold_release_s
        self._release_at = min((at for at, _ in self._ready if at > now), default=again_at)
        self._unconfirmed = bool(self._ready)
        if late:
            self._on_release(late)
