"""Delete finished tasks whose retention time is over, with their output.

Reports and claims must not pay for it, so there is no index on the end of tasks. The pruner walks
through the history by id instead, the oldest first, up to the first part in which a task is younger
than the shortest retention time. It remembers each part that still has tasks, and when the next of
them may expire, and examines the part again at that time. A walk through the whole history once a
day finds tasks that expire earlier than remembered, because they were retried.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from taskmaster.coordinator.pruning import pace
from taskmaster.coordinator.pruning.pace import Batches
from taskmaster.coordinator.support.database import OUTAGE_ERRORS
from taskmaster.tasks import retention
from taskmaster.tasks.backoff import Backoff, run_every
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.retention import Retention
from taskmaster.tasks.store import prune_store as store
from taskmaster.tasks.store.prune_store import PrunedPart

log = logging.getLogger(__name__)

#: Seconds after which the remembered parts are forgotten, and the whole history is walked again.
_WALK_S = 86_400.0


class _Part(NamedTuple):
    """Remember a part of the history: the ids above `after`, up to `upper`."""

    due_at: float
    after: int
    upper: int


class TaskPruner:
    """Delete finished tasks while this coordinator leads."""

    def __init__(
        self,
        batches: Batches,
        *,
        leading: asyncio.Event,
        read_retention: Callable[[], Retention] = retention.current,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batches = batches
        self._leading = leading
        self._read_retention = read_retention
        self._clock = clock
        #: Heap of the remembered parts.
        self._parts: list[_Part] = []
        #: All ids up to this one belong to remembered parts, or have no tasks any more.
        self._frontier = 0
        self._walked_at = float("-inf")
        self._retention: Retention | None = None

    async def run(self) -> None:
        """Prune at an interval until cancelled."""
        await run_every(
            pace.INTERVAL_S, self.prune, retry_on=OUTAGE_ERRORS, backoff=Backoff(*pace.RETRY_S)
        )

    async def prune(self) -> None:
        """Delete all tasks that have expired. Wait until this coordinator leads; stop when it does
        not.

        Raises the errors in OUTAGE_ERRORS. The part that failed is examined again.
        """
        if not self._leading.is_set():
            # Until it leads again, tasks may be retried and deleted, for longer than a day.
            self._walked_at = float("-inf")
            await self._leading.wait()
        kept = self._read_retention()
        shortest = kept.shortest()
        if shortest is None:
            return
        now = self._clock()
        if kept != self._retention or now - self._walked_at >= _WALK_S:
            self._parts.clear()
            self._frontier, self._walked_at, self._retention = 0, now, kept
        deleted = 0
        try:
            while self._parts and self._parts[0].due_at <= self._clock() and self._leading.is_set():
                part = self._parts[0]
                found = await self._examine(part, kept)
                heapq.heappop(self._parts)
                self._remember(part, found)
                deleted += found.deleted
            ahead = True
            while ahead and self._leading.is_set():
                part = _Part(0.0, self._frontier, MAX_ID)
                found = await self._examine(part, kept)
                deleted += found.deleted
                ahead = (
                    found.examined == pace.BATCH
                    and found.youngest_s is not None
                    and found.youngest_s >= shortest.total_seconds()
                )
                if ahead and found.last_id is not None:
                    self._remember(part._replace(upper=found.last_id), found)
                    self._frontier = found.last_id
        finally:
            if deleted:
                log.info("tasks deleted after their retention time", extra={"tasks": deleted})

    async def _examine(self, part: _Part, kept: Retention) -> PrunedPart:
        async with self._batches.next() as connection:
            return await store.prune_tasks(
                connection, kept, after=part.after, upper=part.upper, batch=pace.BATCH
            )

    def _remember(self, part: _Part, found: PrunedPart) -> None:
        """Remember when the examined tasks of a part are due, and the rest of the part now."""
        now, last_id = self._clock(), part.upper
        if found.examined == pace.BATCH and found.last_id is not None:
            last_id = found.last_id
            if last_id < part.upper:
                heapq.heappush(self._parts, _Part(now, last_id, part.upper))
        if found.next_s is not None:
            # A task that was skipped because it was locked has expired already.
            due_at = now + max(pace.INTERVAL_S, found.next_s)
            heapq.heappush(self._parts, _Part(due_at, part.after, last_id))
