"""Claim as many due tasks as the connected workers have capacity for.

An iteration scans for the (queue, priority) pairs that have pending tasks, and then claims from
these pairs. A scan is reused while its pairs yield tasks.

A coordinator without work is marked idle in the database. Submitters wake it by a NOTIFY, and the
safety poll finds what a lost NOTIFY leaves. Under load the coordinator is marked busy and polls
every few milliseconds, so that submitters need not send a NOTIFY.

There is one claim for each group of workers with the same queues and the same task names. Where the
groups differ, a claim skips the names that `parking` has reserved for other workers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from taskmaster.coordinator.dispatch.connections import Capacity, offer_fault
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.dispatch.low_marks import SKIPPED_AGAIN_S, LowWaterMarks
from taskmaster.coordinator.dispatch.parking import Parking
from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import Backoff, run_every, wait_until_set
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.messages import ClaimedTask, QueuePriority
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.wakeup import NO_IDLE_CACHE_S

#: Seconds for which the (queue, priority) pairs of a scan are used while claims find tasks.
_SCAN_LIFE_S = 0.25
#: Seconds between two scans while busy and without work.
_BUSY_PAUSE_S = 0.005
#: Longest wait in seconds while busy and without a free slot. A freed slot ends the wait
#: immediately.
_STARVED_PAUSE_S = 1.0
#: Seconds for which the claimer stays busy after it was marked busy.
_BUSY_S = 0.1
#: Number of wake-ups within one second that marks the claimer busy.
_WAKES_MAX = 50
#: First and longest back-off in seconds while other coordinators hold locks on all due tasks.
_CONTENDED_S = (0.005, 0.1)
#: First and longest back-off in seconds after a database error.
_RETRY_S = (0.1, 5.0)


class Claimer:
    """Run the claim loop of one coordinator."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        lookahead: LookaheadQueue,
        parking: Parking,
        conf: Settings,
        coordinator: UUID,
        publisher: EventPublisher,
        *,
        on_refuse: Callable[[ClaimedTask, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._lookahead = lookahead
        self._parking = parking
        self._conf = conf
        self._coordinator = coordinator
        self._publisher = publisher
        #: Called with a task that no worker can receive, and the reason.
        self._on_refuse = on_refuse
        self._clock = clock
        self._woken = asyncio.Event()
        #: The (queue, priority) pairs with pending tasks, from the newest scan.
        self._pairs: list[QueuePriority] = []
        self._low_marks = LowWaterMarks(clock)
        #: Time of the newest scan. Minus infinity makes the next iteration scan again.
        self._scanned_at = float("-inf")
        #: Whether this coordinator is marked idle in the database.
        self._idle = False
        #: Until this time a submitter may still assume that no coordinator is idle.
        self._believed_busy_until = float("-inf")
        #: Until this time the loop polls, because it was woken too often.
        self._busy_until = float("-inf")
        #: Times of the newest wake-ups while idle.
        self._wakes: deque[float] = deque(maxlen=_WAKES_MAX)
        #: Whether tasks may have been left unclaimed for lack of capacity.
        self._starved = False
        #: Whether the idle coordinators must be notified.
        self._wake_others = False
        self._contention = Backoff(*_CONTENDED_S)
        #: Time of the last iteration without a database error. None: there was none so far.
        self.succeeded_at: float | None = None
        #: Number of scan and claim statements since the start.
        self.scans = 0
        self.claims = 0

    def wake(self) -> None:
        """Wake the loop: there may be work."""
        self._woken.set()

    def wake_all(self) -> None:
        """Wake this loop and every idle coordinator: tasks are pending again."""
        self._wake_others = True
        self._woken.set()

    def capacity_freed(self) -> None:
        """Wake the loop if tasks were left unclaimed for lack of capacity."""
        if self._starved:
            self._woken.set()

    async def run(self) -> None:
        """Claim tasks until cancelled."""
        await run_every(
            0,
            self._iterate,
            retry_on=OUTAGE_ERRORS,
            backoff=Backoff(*_RETRY_S),
            on_error=self._discard_scan,
        )

    def _discard_scan(self, _error: Exception) -> None:
        """Discard everything read from the database. It may be outdated after an outage."""
        self._pairs, self._scanned_at, self._idle = [], float("-inf"), False

    # ---- one iteration ----------------------------------------------------------------------

    async def _iterate(self) -> None:
        self._woken.clear()
        if not await self._claim_all():
            await self._wait_for_work()
        self.succeeded_at = self._clock()

    async def _claim_all(self) -> bool:
        """Claim due tasks and those of the look-ahead window. Return whether there were any."""
        if self._wake_others:
            self._wake_others = False
            async with self._database.connection() as connection:
                await store.notify_idle(connection)
        capacities = self._dispatcher.capacities()
        self._starved = not any(capacity.tasks for capacity in capacities)
        if not capacities:
            return False
        if self._clock() - self._scanned_at > _SCAN_LIFE_S:
            await self._scan()
        elapsed = self._clock() - self._scanned_at
        due = [pair for pair in self._pairs if pair.due_in_s <= elapsed]
        ahead = [
            pair
            for pair in self._pairs
            if elapsed < pair.due_in_s <= elapsed + self._conf.lookahead_s
        ]
        found = await self._claim_due(due, capacities)
        found += await self._claim_ahead(ahead, capacities)
        if not found:
            self._scanned_at = float("-inf")
        return found > 0

    async def _scan(self) -> None:
        """Read the pairs with pending tasks. Lower each low-water mark to the pair's first task."""
        async with self._database.connection() as connection:
            self._pairs = await store.list_due_queues(connection)
        self.scans += 1
        self._scanned_at = self._clock()
        self._low_marks.lower()

    async def _claim_due(self, due: Sequence[QueuePriority], capacities: Sequence[Capacity]) -> int:
        """Claim due tasks up to the workers' capacity and offer them immediately.

        Return the number of claimed tasks. Back off before returning if other coordinators have
        locked all of them.
        """
        found, tried = 0, False
        for capacity in capacities:
            pairs = [pair for pair in due if capacity.serves(pair.queue)]
            # The claims before may have used a part of the capacity.
            limit = min(self._dispatcher.capacity_of(capacity), self._conf.claim_batch)
            if not pairs or not limit:
                self._starved = self._starved or bool(pairs)
                continue
            skipped = [self._parking.skipped(pair.queue, [capacity]) for pair in pairs]
            tried = tried or not any(skipped)
            tasks = await self._claim(
                pairs, within_s=0.0, limit=limit, names=capacity.names, skipped=skipped
            )
            found += len(tasks)
            if len(tasks) < limit:
                # The pairs hold no more due tasks, or other coordinators have locked them. A new
                # scan shows which.
                self._scanned_at = float("-inf")
                self._low_marks.pass_skipped(pairs, skipped, capacity.names)
            left = self._dispatcher.offer(tasks)
            if left:
                await self._parking.settle(left, capacity)
            self._low_marks.raise_to(tasks, capacity.names)
        if found:
            self._contention.reset()
        elif tried:
            # Other coordinators are claiming the due tasks. Scan again after a back-off. Setting
            # `_woken` makes the next iteration follow without a further wait.
            await self._wait_for_wake(self._contention.next_s())
            self._woken.set()
        return found

    async def _claim_ahead(
        self, ahead: Sequence[QueuePriority], capacities: Sequence[Capacity]
    ) -> int:
        """Claim tasks that fall due within the look-ahead window and hold them until then.

        Return the number of claimed tasks.
        """
        pairs = [pair for pair in ahead if any(each.serves(pair.queue) for each in capacities)]
        if not pairs or not self._lookahead.capacity:
            return 0
        limit = min(self._lookahead.capacity, self._conf.claim_batch)
        skipped = [self._parking.skipped(pair.queue, capacities) for pair in pairs]
        tasks = await self._claim(
            pairs, within_s=self._conf.lookahead_s, limit=limit, names=None, skipped=skipped
        )
        self._lookahead.push(tasks)
        self._scanned_at = float("-inf")
        return len(tasks)

    async def _claim(
        self,
        pairs: Sequence[QueuePriority],
        *,
        within_s: float,
        limit: int,
        names: frozenset[str] | None,
        skipped: Sequence[Sequence[str]],
    ) -> list[ClaimedTask]:
        """Claim up to `limit` tasks that are due within `within_s` seconds, and publish that.

        `names` are those that the workers know, and `skipped` those of each pair that are left to
        other workers. Return the tasks that a worker can receive.
        """
        self.claims += 1
        async with self._database.connection() as connection:
            tasks = await store.claim_tasks(
                connection,
                pairs,
                low_marks=[self._low_marks.get(pair, names) for pair in pairs],
                skipped=skipped,
                within_s=within_s,
                limit=limit,
                coordinator=self._coordinator,
            )
        self._publisher.add_batch(EventBatch(EventKind.PICKED, tasks, messages.picked))
        return [task for task in tasks if not self._refused(task)]

    def _refused(self, task: ClaimedTask) -> bool:
        """Return whether no worker can receive the task. It then fails instead of being offered."""
        reason = offer_fault(task)
        if reason is not None:
            self._on_refuse(task, reason)
        return reason is not None

    # ---- waiting ----------------------------------------------------------------------------

    async def _wait_for_work(self) -> None:
        """Take one step from busy to idle after an iteration that found no work.

        Each call takes the first step that applies:

        1. Without workers, wait for a wake-up or the safety poll.
        2. While busy, pause briefly.
        3. Mark this coordinator idle. The next iteration looks for work once more.
        4. Wait until no submitter may still assume that no coordinator is idle. The next iteration
           scans, and finds the tasks that were submitted without a NOTIFY (see `tasks.wakeup`).
        5. Wait for a wake-up or the safety poll.
        """
        now = self._clock()
        # Tasks that were skipped may hide one that has become pending again.
        poll_s = SKIPPED_AGAIN_S if self._low_marks.has_skipped else self._conf.poll_interval_s
        if not self._dispatcher.workers:
            await self._wait_for_wake(poll_s)
        elif now < self._busy_until:
            await self._wait_for_wake(_STARVED_PAUSE_S if self._starved else _BUSY_PAUSE_S)
        elif not self._idle:
            async with self._database.connection() as connection:
                await store.mark_idle(connection, self._coordinator)
            self._idle, self._believed_busy_until = True, self._clock() + 2 * NO_IDLE_CACHE_S
        elif now < self._believed_busy_until:
            # If a joining worker ends this wait early, this step runs again. So there is always a
            # scan after `_believed_busy_until`.
            await self._wait_for_wake(self._believed_busy_until - now)
            self._scanned_at = float("-inf")
        elif await self._wait_for_wake(poll_s):
            await self._count_wake()

    async def _wait_for_wake(self, seconds: float) -> bool:
        """Wait for a wake-up. If the time runs out first, request a scan and return False."""
        if await wait_until_set(self._woken, seconds):
            return True
        self._scanned_at = float("-inf")
        return False

    async def _count_wake(self) -> None:
        """Request a scan after a wake-up. Mark this coordinator busy if it is woken often.

        Submitters do not notify a busy coordinator.
        """
        now = self._clock()
        self._scanned_at = float("-inf")
        self._wakes.append(now)
        if len(self._wakes) == _WAKES_MAX and now - self._wakes[0] < 1.0:
            self._wakes.clear()
            async with self._database.connection() as connection:
                await store.mark_busy(connection, self._coordinator)
            self._idle, self._busy_until = False, now + _BUSY_S
