"""Count pending and running tasks, at an interval that limits the cost."""

from __future__ import annotations

from taskmaster.tasks import shards
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store, sync_store

#: Minimum time between two counts, in seconds. It is the update interval of the dashboard.
_FRESH_S = 0.25
#: Minimum time between two counts as a multiple of the duration of the last one. It limits the cost
#: to a fiftieth of one core.
SHARE = 50
#: Old statistics are summed once in this number of counts.
_ROLLUP_EVERY = 1_000


class DepthCounter:
    """Count for one process. The first process that is due counts for all others."""

    def __init__(self) -> None:
        self._took_s = 0.0
        self._counts = 0

    async def count(self, connection: Connection) -> None:
        """Count in a coordinator, after changes, unless another process has just counted."""
        took_s = await async_store.snapshot_queue_depth(connection, fresh_s=self._fresh_s)
        if self._record_count(took_s):
            await async_store.rollup_statistics(connection)

    def count_for_web(self) -> None:
        """Count in a web process on Django's connection, for open dashboards and metrics."""
        using = shards.current()
        took_s = sync_store.snapshot_queue_depth(fresh_s=self._fresh_s, using=using)
        if self._record_count(took_s):
            sync_store.rollup_statistics(using=using)

    @property
    def _fresh_s(self) -> float:
        return max(_FRESH_S, SHARE * self._took_s)

    def _record_count(self, took_s: float | None) -> bool:
        """Record the duration of a count. Return whether old statistics are to be summed."""
        if took_s is None:
            return False
        self._took_s = took_s
        self._counts += 1
        return self._counts % _ROLLUP_EVERY == 1
