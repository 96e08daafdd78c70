"""Reads the statistics: the counters, the charts of the last hour, the depth of each queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections
from django.db.models import Min, Sum
from django.utils import timezone

from tasks import shards
from tasks.lifecycle import Status
from tasks.models import Census, Depth, Statistic, Task
from tasks.statements import statement
from tasks.statistics.census import SHARE
from tasks.statistics.histogram import SIZE, percentile

#: The width of a bar of the charts, in seconds, and how many there are.
STEP_S, STEPS = 10, 360
#: Figures that no coordinator has counted for this long are counted here, as far as `_AT_MOST`.
_STALE_S = 25.0
_AT_MOST = 10_000
#: The newest bar is complete when its last flush is written.
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Overview:
    """How many tasks are where. `pending` includes what is not due yet."""

    waiting: int
    pending: int
    due: int
    oldest_due: datetime | None
    #: Picked early and held until due, or offered to a worker.
    held: int
    running: int
    complete: int
    failed: int
    cancelled: int
    #: Over the last ten to twenty seconds.
    complete_per_s: float
    failed_per_s: float
    #: When pending and running were counted; None: here and now, since no coordinator did.
    counted_at: datetime | None
    #: Whether `pending` and `due` were counted up to a limit only.
    at_least: bool

    @property
    def total(self) -> int:
        """All tasks there are."""
        open_ = self.waiting + self.pending + self.held + self.running
        return open_ + self.complete + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class Series:
    """The last hour in bars of ten seconds; each list has one entry a bar, oldest first."""

    #: Begin of each bar, seconds since 1970.
    at: list[int]
    #: Per second.
    complete: list[float]
    failed: list[float]
    #: Milliseconds from due to start and from start to end of tasks that returned; None of none.
    wait_p50_ms: list[float | None]
    wait_p95_ms: list[float | None]
    run_p50_ms: list[float | None]
    run_p95_ms: list[float | None]


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What waits and runs in one queue."""

    queue: str
    pending: int
    due: int
    oldest_due: datetime | None
    held: int
    running: int


def overview() -> Overview:
    """The counters."""
    with connections[shards.current()].cursor() as cursor:
        cursor.execute(statement("totals"))
        complete, failed, cancelled, complete_per_s, failed_per_s = cursor.fetchone()
    census = Census.objects.first()
    fresh = census is not None and _age_s(census) < _STALE_S
    depth = _counted() if fresh else _count_some()
    return Overview(
        waiting=0,
        pending=depth.pending,
        due=depth.due,
        oldest_due=depth.oldest_due,
        held=depth.held,
        running=depth.running,
        complete=complete,
        failed=failed,
        cancelled=cancelled,
        complete_per_s=complete_per_s,
        failed_per_s=failed_per_s,
        counted_at=census.counted_at if census and fresh else None,
        at_least=not fresh and depth.pending >= _AT_MOST,
    )


def queues() -> list[QueueDepth]:
    """The queues in which something waits or runs, the deepest first, as last counted."""
    return [
        QueueDepth(row.queue, row.pending, row.due, row.oldest_due, row.held, row.running)
        for row in Depth.objects.order_by("-due", "-pending", "queue")
    ]


class _Charts:
    """The series, read anew when a bar is complete: what has passed does not change."""

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
    """The charts of the last hour."""
    return _charts.get()


def _age_s(census: Census) -> float:
    """Less what a count takes: of millions it is done less often."""
    age = (timezone.now() - census.counted_at).total_seconds()
    return float(age - 2 * SHARE * census.took_s)


def _counted() -> QueueDepth:
    sums = Depth.objects.aggregate(
        pending=Sum("pending", default=0),
        due=Sum("due", default=0),
        oldest_due=Min("oldest_due"),
        held=Sum("held", default=0),
        running=Sum("running", default=0),
    )
    return QueueDepth("", **sums)


def _count_some() -> QueueDepth:
    """No coordinator counts: a limited count over the partial index of what waits."""
    now = timezone.now()
    pending = Task.objects.filter(status=Status.PENDING)
    due = pending.filter(scheduled_at__lte=now)
    return QueueDepth(
        "",
        pending=pending.order_by()[:_AT_MOST].count(),
        due=due.order_by()[:_AT_MOST].count(),
        oldest_due=due.order_by()[:_AT_MOST].aggregate(at=Min("scheduled_at"))["at"],
        held=Task.objects.filter(status=Status.PICKED).count(),
        running=Task.objects.filter(status=Status.STARTED).count(),
    )


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
