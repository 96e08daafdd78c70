"""Count the tasks by status, at an interval that limits the cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from taskmaster.tasks import shards
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store, sync_store

#: Minimum time between two counts, in seconds. It is the update interval of the dashboard.
_FRESH_S = 0.25
#: Minimum time between two counts as a multiple of the duration of the last one. It limits the cost
#: to a fiftieth of one core.
SHARE = 50
#: Seconds without a change after which the tasks are counted again, so that the numbers are right
#: within a second of the last change.
_SETTLED_S = 0.25
#: Minimum time between two of these counts, as a multiple of the duration of the last count.
_SETTLED_SHARE = 20
#: Old statistics are summed once in this number of counts.
_ROLLUP_EVERY = 1_000


class DepthCounter:
    """Count for one process. The first process that is due counts for all others.

    While tasks change, the duration of the last count limits the rate. When they have settled, one
    more count is made without that limit. It has a limit of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._took_s = 0.0
        self._counts = 0
        #: Whether tasks may have changed since the last count.
        self._outdated = False
        #: Time of the last count that was made because the tasks had settled.
        self._settled_at = -inf

    async def count(self, connection: Connection, *, settled: bool = False) -> None:
        """Count in a coordinator, unless another process has just counted.

        `settled` is true if the time `settles_at` has come.
        """
        took_s = await async_store.snapshot_queue_depth(connection, fresh_s=self._fresh_s(settled))
        if self._record_count(took_s, settled):
            await async_store.rollup_statistics(connection)

    def count_for_web(self, *, settled: bool = False) -> None:
        """Count in a web process on Django's connection, for open dashboards and metrics."""
        using = shards.current()
        took_s = sync_store.snapshot_queue_depth(fresh_s=self._fresh_s(settled), using=using)
        if self._record_count(took_s, settled):
            sync_store.rollup_statistics(using=using)

    def settles_at(self, changed_at: float) -> float:
        """Return when a count is due because tasks have settled, as a time of the clock.

        `changed_at` is the time of the last change. Infinite: no change came after the last count.
        """
        if not self._outdated:
            return inf
        return max(changed_at + _SETTLED_S, self._settled_at + _SETTLED_SHARE * self._took_s)

    def _fresh_s(self, settled: bool) -> float:
        return _FRESH_S if settled else max(_FRESH_S, SHARE * self._took_s)

    def _record_count(self, took_s: float | None, settled: bool) -> bool:
        """Record the duration of a count. Return whether old statistics are to be summed."""
        # A settled count that is skipped was made by another process after the last change.
        self._outdated = took_s is None and not settled
        if took_s is None:
            return False
        if settled:
            self._settled_at = self._clock()
        self._took_s = took_s
        self._counts += 1
        return self._counts % _ROLLUP_EVERY == 1
