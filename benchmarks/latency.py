"""Measure the latency from submission to start, the lateness of scheduled tasks, and the cost of
idling.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import psycopg
from django.db import connection

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.tasks import noop
from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.models import Task

TASKS = 300
_EVERY_S = 0.02
_SPREAD_S = 10.0
IDLE_S = 60.0


def measure() -> list[Figure]:
    """Return the figures of one run."""
    with (
        TemporaryDirectory() as folder,
        fleet.running(
            executor="process", concurrency=2, log=(log := Path(folder) / "coordinator.log")
        ),
    ):
        return [*_start_latency(), _notify_floor(), *_lateness(), _idle(log)]


def _percentiles(values: list[float]) -> tuple[float, float]:
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]


def _waits_ms(column: str) -> list[float]:
    """Return the milliseconds from `column` to the start of each task."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXTRACT(EPOCH FROM started_at - {column})::float8 * 1000 "
            "FROM taskmaster_tasks_task"
        )
        return [row[0] for row in cursor.fetchall()]


def _clean() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE taskmaster_tasks_task")


def _finished(count: int) -> bool:
    return Task.objects.filter(status="complete").count() == count


def _start_latency() -> list[Figure]:
    for measured in (False, True):
        _clean()
        for _ in range(TASKS if measured else 50):
            noop.enqueue()
            time.sleep(_EVERY_S)
        fleet.wait_until(lambda: _finished(TASKS if measured else 50), "the tasks")  # noqa: B023
    p50, p99 = _percentiles(_waits_ms("created_at"))
    conditions = f"{TASKS} tasks, one every {_EVERY_S * 1000:.0f} ms, 2 workers of 2 processes"
    return [
        Figure(
            "submission to start, p50", p50, "ms", conditions, target="≤ 10 ms", passed=p50 <= 10
        ),
        Figure("submission to start, p99", p99, "ms", conditions),
    ]


def _notify_floor() -> Figure:
    """Return the reference of the same run: the time of a NOTIFY from commit to listener."""
    waits = []
    info = conninfo()
    with (
        psycopg.connect(info, autocommit=True) as sender,
        psycopg.connect(info, autocommit=True) as listener,
    ):
        listener.execute("LISTEN floor")
        for _ in range(100):
            began = time.perf_counter()
            sender.execute("NOTIFY floor")
            next(listener.notifies(timeout=5, stop_after=1))
            waits.append((time.perf_counter() - began) * 1000)
    return Figure(
        "NOTIFY without TaskMaster, p50", _percentiles(waits)[0], "ms", "for comparison; 100 rounds"
    )


def _lateness() -> list[Figure]:
    _clean()
    first = datetime.now(UTC) + timedelta(seconds=3)
    step = timedelta(seconds=_SPREAD_S / TASKS)
    bulk([new(noop, scheduled_at=first + step * number) for number in range(TASKS)])
    fleet.wait_until(lambda: _finished(TASKS), "the scheduled tasks")
    waits = _waits_ms("scheduled_at")
    assert min(waits) >= 0, f"a task started {-min(waits)} ms early"
    p50, p99 = _percentiles(waits)
    conditions = f"{TASKS} tasks over {_SPREAD_S:.0f} s, held by the coordinator"
    return [
        Figure("lateness of scheduled tasks, p50", p50, "ms", conditions),
        Figure(
            "lateness of scheduled tasks, p99", p99, "ms", conditions, target="≤ 20 ms",
            passed=p99 <= 20,
        ),
    ]  # fmt: skip


def _idle(log: Path) -> Figure:
    """Count the queries with which the idle coordinator looks for work, by its own counter."""
    before, began = _looks(log), time.monotonic()
    time.sleep(IDLE_S)
    after, seconds = _looks(log), time.monotonic() - began
    looks = (after - before) * 60 / seconds
    return Figure(
        "claim queries of an idle coordinator",
        looks,
        "per minute",
        f"scans and claims in {seconds:.0f} s, as the coordinator counts them, 2 workers connected",
        target="≤ 6",
        # Round to tenths: the log line was read a moment after the count was taken.
        passed=0 < round(looks, 1) <= 6,
    )


def _looks(log: Path) -> int:
    """Return the newest figures of the log, which appear every ten seconds."""
    seen = len(log.read_text().splitlines())
    fleet.wait_until(lambda: len(log.read_text().splitlines()) > seen, "the figures")
    scans, claims = re.findall(r" scans=(\d+) claims=(\d+)", log.read_text())[-1]
    return int(scans) + int(claims)
