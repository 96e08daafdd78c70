"""Wake, scan, claim: takes as many tasks as the connected workers have room for.

Asleep, it waits for a NOTIFY or the safety poll. Under load submitters are spared the NOTIFY: the
claimer is then marked awake and looks for work by itself every few milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from coordinator import words
from coordinator.announcer import Announcer, Many
from coordinator.database import TROUBLE, Database
from coordinator.dispatcher import Dispatcher
from coordinator.held import Held
from coordinator.links import Demand
from tasks import store
from tasks.conf import Settings
from tasks.events.event import Kind
from tasks.reports import Claimed, Lease, Pair
from tasks.wake import NOBODY_SLEEPS_S

#: The pairs that a scan found are used for this long while claims go on.
_SCAN_LIFE_S = 0.25
#: Awake and without work it looks again after this time.
_AWAKE_PAUSE_S = 0.005
#: Awake and without a free slot; one that is freed wakes it at once.
_STARVED_PAUSE_S = 1.0
#: Awake it stays this long after the last work it found.
_AWAKE_S = 0.1
#: More wake-ups than this in a second, and submitters are spared the NOTIFY.
_WAKES_MAX = 50
#: Work that others are claiming at this moment is looked at again after these seconds.
_CONTENDED_S = (0.005, 0.1)
#: Seconds before a turn that met database trouble is tried again.
_RETRY_S = (0.1, 5.0)
#: What a transaction may need between its now() and its commit without being missed by a claim
#: that steps over dead entries; what needs longer is found by the next scan.
_COMMIT_LAG = timedelta(seconds=1)


class Claimer:
    """The claim loop of one coordinator."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        held: Held,
        conf: Settings,
        coordinator: UUID,
        announcer: Announcer,
        *,
        on_release: Callable[[Sequence[Lease]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._held = held
        self._conf = conf
        self._coordinator = coordinator
        self._announcer = announcer
        self._on_release = on_release
        self._clock = clock
        self._woken = asyncio.Event()
        self._pairs: list[Pair] = []
        self._sinces: dict[tuple[str, int], datetime] = {}
        self._scanned_at = float("-inf")
        self._asleep = False
        #: Until then a submitter may believe that nobody sleeps.
        self._believed_until = float("-inf")
        self._awake_until = float("-inf")
        self._wakes: deque[float] = deque(maxlen=_WAKES_MAX)
        self._starved = False
        self._others_wait = False
        self._contended_s = _CONTENDED_S[0]
        #: When a turn last succeeded, with work or without.
        self.turned_at: float | None = None
        #: Statements sent that look for work, for the figures.
        self.scans = 0
        self.claims = 0

    def wake(self) -> None:
        """There may be work."""
        self._woken.set()

    def wake_all(self) -> None:
        """Tasks are pending again: work for this coordinator or for another that sleeps."""
        self._others_wait = True
        self._woken.set()

    def room_freed(self) -> None:
        """A worker can take more: worth a look if work was left for lack of room."""
        if self._starved:
            self._woken.set()

    async def run(self) -> None:
        """Claims until cancelled."""
        pause = _RETRY_S[0]
        while True:
            self._woken.clear()
            try:
                if not await self._turn():
                    await self._rest()
                pause = _RETRY_S[0]
                self.turned_at = self._clock()
            except TROUBLE:
                self._forget()
                await asyncio.sleep(pause)
                pause = min(_RETRY_S[1], pause * 2)

    def _forget(self) -> None:
        """After trouble nothing that was known of the database counts."""
        self._pairs, self._scanned_at, self._asleep = [], float("-inf"), False

    # ---- one turn ---------------------------------------------------------------------------

    async def _turn(self) -> bool:
        """Claims once; returns whether anything was found."""
        if self._others_wait:
            self._others_wait = False
            async with self._database.connection() as connection:
                await store.wake(connection)
        demands = self._dispatcher.demands()
        self._starved = not any(demand.room for demand in demands)
        if not demands:
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
        found = await self._claim_due(due, demands)
        found += await self._claim_ahead(ahead, demands)
        if not found:
            self._scanned_at = float("-inf")
        return found > 0

    async def _scan(self) -> None:
        async with self._database.connection() as connection:
            self._pairs = await store.scan(connection)
        self.scans += 1
        self._scanned_at = self._clock()
        self._sinces = {(pair.queue, pair.priority): pair.first_at for pair in self._pairs}

    async def _claim_due(self, due: Sequence[Pair], demands: Sequence[Demand]) -> int:
        """Claims what is due, as much as there is room, and offers it at once."""
        found, wanted = 0, False
        for demand in demands:
            pairs = [pair for pair in due if demand.wants(pair.queue)]
            room = min(demand.room, self._conf.claim_batch)
            if not pairs or not room:
                self._starved = self._starved or bool(pairs)
                continue
            wanted = True
            tasks = await self._claim(pairs, within_s=0.0, room=room)
            found += len(tasks)
            if len(tasks) < room:
                # These pairs are drained, or others are at them: a scan tells.
                self._scanned_at = float("-inf")
            left = self._dispatcher.offer(tasks)
            if left:
                self._on_release([Lease(task.task_id, task.lease) for task in left])
            self._advance(tasks)
        if wanted and not found:
            await self._wait_for_others()
        elif found:
            self._contended_s = _CONTENDED_S[0]
        return found

    async def _claim_ahead(self, ahead: Sequence[Pair], demands: Sequence[Demand]) -> int:
        """Claims what falls due in the look-ahead, to be held until then."""
        pairs = [pair for pair in ahead if any(demand.wants(pair.queue) for demand in demands)]
        if not pairs or not self._held.room:
            return 0
        room = min(self._held.room, self._conf.claim_batch)
        tasks = await self._claim(pairs, within_s=self._conf.lookahead_s, room=room)
        self._held.push(tasks)
        self._scanned_at = float("-inf")
        return len(tasks)

    async def _claim(self, pairs: Sequence[Pair], *, within_s: float, room: int) -> list[Claimed]:
        self.claims += 1
        async with self._database.connection() as connection:
            tasks = await store.claim(
                connection,
                pairs,
                sinces=[self._sinces[pair.queue, pair.priority] for pair in pairs],
                within_s=within_s,
                room=room,
                coordinator=self._coordinator,
            )
        self._announcer.note_many(Many(Kind.PICKED, tasks, words.picked))
        return tasks

    def _advance(self, tasks: Sequence[Claimed]) -> None:
        """Raises the low-water marks to what was just claimed."""
        newest: dict[tuple[str, int], datetime] = {}
        for task in tasks:
            key = task.queue, task.priority
            newest[key] = max(newest.get(key, task.scheduled_at), task.scheduled_at)
        for key, at in newest.items():
            self._sinces[key] = max(self._sinces[key], at - _COMMIT_LAG)

    async def _wait_for_others(self) -> None:
        """What was due is being claimed by others: look again in a moment, whether it is gone."""
        pause, self._contended_s = self._contended_s, min(self._contended_s * 2, _CONTENDED_S[1])
        await self._pause(pause)
        self._woken.set()

    # ---- rest -------------------------------------------------------------------------------

    async def _rest(self) -> None:
        """Nothing was found: waits for a wake-up, or goes to sleep first."""
        now = self._clock()
        if not self._dispatcher.links:
            await self._pause(self._conf.poll_interval_s)
        elif now < self._awake_until:
            await self._pause(_STARVED_PAUSE_S if self._starved else _AWAKE_PAUSE_S)
        elif not self._asleep:
            async with self._database.connection() as connection:
                await store.sleep(connection, self._coordinator)
            self._asleep, self._believed_until = True, self._clock() + 2 * NOBODY_SLEEPS_S
        elif now < self._believed_until:
            # The last look before the wait comes after that, also if a worker that joins wakes it
            # meanwhile: only then no submitter believes any more that nobody sleeps.
            await self._pause(self._believed_until - now)
            self._scanned_at = float("-inf")
        elif await self._pause(self._conf.poll_interval_s):
            await self._count_wake()

    async def _pause(self, seconds: float) -> bool:
        """Waits; returns whether it was woken before the time was over."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            self._scanned_at = float("-inf")
            return False
        return True

    async def _count_wake(self) -> None:
        now = self._clock()
        self._scanned_at = float("-inf")
        self._wakes.append(now)
        if len(self._wakes) == _WAKES_MAX and now - self._wakes[0] < 1.0:
            self._wakes.clear()
            async with self._database.connection() as connection:
                await store.stay_awake(connection, self._coordinator)
            self._asleep, self._awake_until = False, now + _AWAKE_S
