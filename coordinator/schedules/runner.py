"""Create the runs of schedules while this coordinator leads.

An iteration searches for the schedules that are due, plans their runs in a thread, and stores the
runs and their tasks in one statement. Where overlaps are allowed, that happens up to `lookahead_s`
seconds ahead, so that a coordinator holds the task when it is due. The runs of the other schedules
are planned ahead, and stored at the due instant.

Two coordinators may lead for a moment, and one may be frozen between two steps. The guards of the
statement then make its plans void: each due time has one row.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from uuid import UUID

from taskmaster.coordinator import store as coordinator_store
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.schedules.gaps import GapFinder
from taskmaster.coordinator.schedules.planner import SchedulePlanner
from taskmaster.coordinator.schedules.run_writer import RunWriter
from taskmaster.coordinator.support.database import Database
from taskmaster.coordinator.support.django_thread import repeat, run_in_thread
from taskmaster.tasks.backoff import Backoff, wait_until_set
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.schedule_messages import Plan, ScheduleSearch
from taskmaster.tasks.store import schedule_store as store

log = logging.getLogger(__name__)

#: Longest wait in seconds between two searches.
_IDLE_S = 60.0
#: Seconds before the due instant at which a run that cannot be created ahead is planned.
_PREPARE_S = 2.0
#: Seconds for which runs that are created ahead are collected, so that one search finds many.
_COLLECT_S = 1.0
#: Seconds between two searches while a run is queued. It starts that long after the earlier run.
_QUEUED_S = 0.3
#: Plans that act within this many seconds after another one need no search between.
_FOLLOWS_S = 0.1
#: Seconds before the next search when other sessions have locked all schedules that are due.
_LOCKED_S = 0.05
#: Maximum number of schedules of one statement.
_BATCH = 500
#: First and longest back-off in seconds after a database error.
_RETRY_S = (0.1, 2.0)


class ScheduleRunner:
    """Create the runs of all schedules.

    `leading` is set while this coordinator leads. `on_pending` wakes the claimers.
    """

    def __init__(
        self,
        database: Database,
        conf: Settings,
        coordinator: UUID,
        publisher: EventPublisher,
        executor: Executor,
        *,
        leading: asyncio.Event,
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._conf = conf
        self._coordinator = coordinator
        #: Runs the planner in a thread that may use Django's connections.
        self._executor = executor
        self._leading = leading
        self._clock = clock
        self._woken = asyncio.Event()
        self._planner = SchedulePlanner(conf.lookahead_s, clock=clock)
        self._writer = RunWriter(
            database, conf, coordinator, publisher, on_pending=on_pending, chance=chance
        )
        self._gaps = GapFinder(
            coordinator, had_outage=database.outage.had_error_within, clock=clock
        )
        #: Number of searches since the start.
        self.searches = 0

    def wake(self) -> None:
        """Wake the loop: a schedule has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Create runs while this coordinator leads, until cancelled."""
        await repeat(
            self._iterate,
            backoff=Backoff(*_RETRY_S),
            log=log,
            failure="schedules not planned; retrying",
        )

    async def _iterate(self) -> None:
        if not self._leading.is_set():
            self._gaps.stop_leading()
            await self._leading.wait()
        self._woken.clear()
        search, offset = await self._search()
        gaps = self._gaps.gaps
        batch = await run_in_thread(self._executor, lambda: self._planner.plan_all(search, gaps))
        now = self._clock() + offset
        plans = [each for each in batch.plans if not self._writer.is_rejected(each)]
        due = [each for each in plans if each.act_at.timestamp() <= now]
        stored = await self._writer.start_queued(batch.queued, search)
        stored += await self._writer.create(due, search)
        self._plan_wait(0.0, offset)
        if stored:
            return
        waiting = [each for each in plans if each.act_at.timestamp() > now]
        locked = bool(due or batch.queued)
        wait_s = _LOCKED_S if locked else self._wait_s(search, waiting, self._clock() + offset)
        self._plan_wait(wait_s, offset)
        while not await wait_until_set(self._woken, wait_s) and self._leading.is_set():
            now = self._clock() + offset
            due = [each for each in waiting if each.act_at.timestamp() <= now]
            await self._writer.create(due, search)
            waiting = [each for each in waiting if each.act_at.timestamp() > now]
            wait_s = self._wait_s(search, waiting, self._clock() + offset)
            if not due or not waiting or wait_s > _FOLLOWS_S:
                self._plan_wait(0.0, offset)
                break
            self._plan_wait(wait_s, offset)

    async def _search(self) -> tuple[ScheduleSearch, float]:
        """Search for due schedules, and find out whether a gap precedes.

        Also return the time of the database's clock minus that of this process. It is early by the
        time of a round trip at most.
        """
        last_seen_at, sent_at = None, self._clock()
        async with self._database.connection() as connection:
            search = await store.list_due_schedules(
                connection,
                self._coordinator,
                ahead_s=self._conf.lookahead_s,
                prepare_s=_PREPARE_S,
                limit=_BATCH,
            )
            if search.previous_leader not in (None, self._coordinator):
                last_seen_at = await coordinator_store.read_last_seen(
                    connection, search.previous_leader
                )
        self.searches += 1
        self._gaps.add(search, last_seen_at)
        return search, search.now.timestamp() - sent_at

    def _wait_s(self, search: ScheduleSearch, waiting: Sequence[Plan], now: float) -> float:
        """Return the seconds until a plan is due or the next search finds a schedule."""
        moments = [now + _IDLE_S, *(each.act_at.timestamp() for each in waiting)]
        if search.next_ahead_at is not None:
            ahead_s = _PREPARE_S if search.halted_at else self._conf.lookahead_s
            moments.append(search.next_ahead_at.timestamp() - ahead_s + _COLLECT_S)
        if search.next_due_at is not None:
            moments.append(search.next_due_at.timestamp() - _PREPARE_S)
        if search.has_queued:
            moments.append(now + _QUEUED_S)
        return max(0.0, min(moments) - now)

    def _plan_wait(self, seconds: float, offset: float) -> None:
        """Record that nothing is to do for a number of seconds."""
        at = datetime.fromtimestamp(self._clock() + offset + seconds, UTC)
        self._gaps.plan_until(at, seconds)
