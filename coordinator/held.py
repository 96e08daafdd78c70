"""What waits for its due time: claimed by the look-ahead, offered at the moment itself.

Held tasks stay anybody's to cancel or to move: when they fall due the database is asked once more,
and what is no longer ours is dropped. What finds no free slot is released soon after, for another
coordinator's idle worker.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence

from coordinator.database import TROUBLE, Database
from coordinator.dispatcher import Dispatcher
from tasks import store
from tasks.conf import Settings
from tasks.reports import Claimed, Lease

_RETRY_S = 0.1


class Held:
    """A heap of tasks by due time, and those that are due and look for a slot."""

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
        self._heap: list[tuple[float, int, Claimed]] = []
        #: Due, while the database is asked whether they are still ours.
        self._due: list[Claimed] = []
        #: Due, confirmed, and without a slot so far: (release at, task).
        self._ready: list[tuple[float, Claimed]] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap) + len(self._due) + len(self._ready)

    @property
    def room(self) -> int:
        """How many more tasks may be held."""
        return max(0, self._conf.held_max - len(self))

    def push(self, tasks: Sequence[Claimed]) -> None:
        """Holds tasks until they are due."""
        now = self._clock()
        for task in tasks:
            heapq.heappush(self._heap, (now + task.due_in_s, task.task_id, task))
        self._changed.set()

    def room_freed(self) -> None:
        """A slot may be free: whoever is due may have it."""
        if self._ready:
            self._changed.set()

    def leases(self) -> list[Lease]:
        """Everything held."""
        tasks = [task for _, _, task in self._heap] + self._due
        tasks += [task for _, task in self._ready]
        return [Lease(task.task_id, task.lease) for task in tasks]

    def clear(self) -> list[Lease]:
        """Lets go of everything held and returns it."""
        leases = self.leases()
        self._heap.clear()
        self._due.clear()
        self._ready.clear()
        return leases

    async def run(self) -> None:
        """Offers what falls due, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._next_s()):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            self._offer_ready()
            await self._offer_due()

    def _next_s(self) -> float | None:
        moments = [self._heap[0][0]] if self._heap else []
        if self._ready:
            moments.append(min(at for at, _ in self._ready))
        return max(0.0, min(moments) - self._clock()) if moments else None

    async def _offer_due(self) -> None:
        now, due = self._clock(), self._due
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        if not due:
            return
        leases = [Lease(task.task_id, task.lease) for task in due]
        try:
            async with self._database.connection() as connection:
                ours = await store.still_held(connection, leases)
        except TROUBLE:
            for task in due:
                heapq.heappush(self._heap, (now + _RETRY_S, task.task_id, task))
            due.clear()
            return
        release_at = self._clock() + self._conf.hold_release_s
        self._ready.extend((release_at, task) for task in due if task.task_id in ours)
        due.clear()
        self._offer_ready()

    def _offer_ready(self) -> None:
        if not self._ready:
            return
        self._ready.sort(key=lambda each: (-each[1].priority, each[1].scheduled_at))
        left = self._dispatcher.offer([task for _, task in self._ready], prefetch=False)
        waiting, now = {task.task_id for task in left}, self._clock()
        self._ready = [each for each in self._ready if each[1].task_id in waiting]
        late = [task for at, task in self._ready if at <= now]
        if late:
            self._ready = [each for each in self._ready if each[0] > now]
            self._on_release([Lease(task.task_id, task.lease) for task in late])
