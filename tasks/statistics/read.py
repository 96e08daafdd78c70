"""Read the statistics: the counters, the charts of the last hour, the depth of each queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from django.utils import timezone

from taskmaster.tasks import shards
from taskmaster.tasks.messages import TaskTotals
from taskmaster.tasks.models import QueueDepth, Statistic
from taskmaster.tasks.statistics.depth import SHARE
from taskmaster.tasks.statistics.histogram import SIZE, percentile
from taskmaster.tasks.store import sync_store as store

#: Width of a chart bar in seconds, and number of bars.
STEP_S, STEPS = 10, 360
#: Depths older than this are outdated. Then this module counts tasks itself, up to `_AT_MOST`.
_STALE_S = 25.0
_AT_MOST = 10_000
#: Time in seconds for the last flush of a bar to be written. Then the bar is complete.
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Overview:
    """Hold the number of tasks by status. `pending` includes tasks that are not due yet."""

    #: Parked tasks: no connected worker can run them.
    waiting: int
    pending: int
    due: int
    oldest_due: datetime | None
    #: Picked tasks: held until they are due, or offered to a worker.
    held: int
    running: int
    complete: int
    failed: int
    cancelled: int
    #: Rates over the last ten to twenty seconds.
    complete_per_s: float
    failed_per_s: float
    #: When the tasks were counted. None: they were counted for this overview, because the stored
    #: count is outdated.
    counted_at: datetime | None
    #: Whether the count of `pending` stopped at a limit, which `due` and `waiting` also have.
    at_least: bool

    @property
    def total(self) -> int:
        """Return the number of all tasks."""
        return self.unstarted + self.running + self.complete + self.failed + self.cancelled

    @property
    def unstarted(self) -> int:
        """Return the number of tasks that wait for a start: parked, pending or held."""
        return self.waiting + self.pending + self.held


@dataclass(frozen=True, slots=True)
class Series:
    """Hold the charts of the last hour. Each list has one entry for ten seconds, oldest first."""

    #: Start of each bar as a Unix timestamp.
    at: list[int]
    #: Tasks per second.
    complete: list[float]
    failed: list[float]
    #: Percentiles of the waiting time (due to start) and the run time (start to end) of completed
    #: tasks, in milliseconds. None if there were no such tasks.
    wait_p50_ms: list[float | None]
    wait_p95_ms: list[float | None]
    run_p50_ms: list[float | None]
    run_p95_ms: list[float | None]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Hold the number of pending, held, running and waiting tasks of one queue."""

    queue: str
    pending: int = 0
    due: int = 0
    oldest_due: datetime | None = None
    held: int = 0
    running: int = 0
    #: Parked tasks.
    waiting: int = 0


def overview() -> Overview:
    """Return the counters, all of one snapshot.

    Count the tasks, open ones up to a limit, if the last count is outdated.
    """
    using = shards.current()
    totals = store.read_totals(using=using)
    fresh = _age_s(totals) < _STALE_S
    counts = totals.counts if fresh else store.count_tasks(at_most=_AT_MOST, using=using)
    return Overview(
        **counts._asdict(),
        complete_per_s=totals.complete_per_s,
        failed_per_s=totals.failed_per_s,
        counted_at=totals.counted_at if fresh else None,
        at_least=not fresh and counts.pending >= _AT_MOST,
    )


def queues() -> list[QueueCounts]:
    """Return the queues with open tasks as last counted, the deepest first."""
    return [
        QueueCounts(
            row.queue, row.pending, row.due, row.oldest_due, row.held, row.running, row.waiting
        )
        for row in QueueDepth.objects.order_by("-due", "-pending", "queue")
    ]


class _Charts:
    """Cache the series of each shard until the next bar is complete."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[str, Series] = {}

    def get(self) -> Series:
        end = int((time.time() - _SETTLE_S) // STEP_S) * STEP_S
        with self._lock:
            series = self._series.get(shards.current())
            if series is None or series.at[-1] != end - STEP_S:
                series = self._series[shards.current()] = _read_series(end)
            return series


_charts = _Charts()


def series() -> Series:
    """Return the charts of the last hour."""
    return _charts.get()


def _age_s(totals: TaskTotals) -> float:
    """Return the age of the last count in seconds, less twice its minimum interval.

    Counts of millions of tasks take longer and are less frequent.
    """
    if totals.counted_at is None or totals.took_s is None:
        return inf
    age = (timezone.now() - totals.counted_at).total_seconds()
    return float(age - 2 * SHARE * totals.took_s)


def _read_series(end: int) -> Series:
    start = end - STEP_S * STEPS
    rows: dict[int, list[Statistic]] = {}
    since = timezone.now() - timedelta(seconds=STEP_S * (STEPS + 2))
    for row in Statistic.objects.filter(at__gte=since):
        rows.setdefault(int(row.at.timestamp()), []).append(row)
    at = list(range(start, end, STEP_S))
    waits = [_sum([row.wait for row in rows.get(when, [])]) for when in at]
    runs = [_sum([row.run for row in rows.get(when, [])]) for when in at]
    return Series(
        at=at,
        complete=[sum(max(0, row.complete) for row in rows.get(when, [])) / STEP_S for when in at],
        failed=[sum(max(0, row.failed) for row in rows.get(when, [])) / STEP_S for when in at],
        wait_p50_ms=[_ms(counts, 0.5) for counts in waits],
        wait_p95_ms=[_ms(counts, 0.95) for counts in waits],
        run_p50_ms=[_ms(counts, 0.5) for counts in runs],
        run_p95_ms=[_ms(counts, 0.95) for counts in runs],
    )


def _sum(histograms: Sequence[Sequence[int]]) -> list[int]:
    counts = [0] * SIZE
    for each in histograms:
        for index, count in enumerate(each):
            counts[index] += count
    return counts


def _ms(counts: Sequence[int], share: float) -> float | None:
    seconds = percentile(counts, share)
    return None if seconds is None else round(seconds * 1_000, 2)
