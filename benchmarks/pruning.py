"""Measure how fast a coordinator deletes a history, and what that costs the tasks that run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from django.db import connection

from benchmarks import fleet, history
from benchmarks.drain import THREADS, drained
from benchmarks.report import Figure
from benchmarks.tasks import noop
from taskmaster.tasks.enqueue import bulk, new

#: Tasks of one drain, and number of pairs of drains of which the median counts.
_TASKS, _ROUNDS = 20_000, 3
#: The shortest times that are accepted. All but the newest 18,000 tasks of the history are older.
_SHORT = '{"default": {"complete": "1h", "failed": "1h", "cancelled": "1h"}}'
_SPARED = 20_000
_NEVER = '{"default": {"complete": null, "failed": null, "cancelled": null}}'
_VARIABLE = "TASKMASTER_RETENTION"


def measure(rows: int) -> list[Figure]:
    """Alternate drains without and with a coordinator that deletes the history; delete the rest."""
    history.fill(rows)
    pairs = [(_drain_with(_NEVER), _drain_with(_SHORT)) for _ in range(_ROUNDS)]
    first, last, started_at = _oldest(), rows - _SPARED, time.monotonic()
    assert first < last, f"the history is too short: {first:,} of {rows:,} rows are deleted"
    with _retention(_SHORT), fleet.running(workers=0):
        fleet.wait_until(lambda: _oldest() >= last, "the end of the history", 3_600.0)
    seconds = time.monotonic() - started_at
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE taskmaster_tasks_task")
    ratio = median(with_pruning / without for without, with_pruning in pairs)
    rate = median(with_pruning for _, with_pruning in pairs)
    history_of = f"{rows:,} finished tasks"
    return [
        Figure("pruning: deleted tasks", (last - first) / seconds, "rows/s", history_of),
        Figure(
            "drain of no-op tasks during the pruning",
            rate,
            "tasks/s",
            f"{history_of}, 1 coordinator, 2 workers of {THREADS} threads; reference: the same "
            f"without pruning; medians of {_ROUNDS}",
            reference=rate / ratio,
            target="ratio ≥ 0.9",
            passed=ratio >= 0.9,
        ),
    ]


@contextmanager
def _retention(text: str) -> Iterator[None]:
    """Set the retention of the processes that are started in the block."""
    before = os.environ[_VARIABLE]
    os.environ[_VARIABLE] = text
    try:
        yield
    finally:
        os.environ[_VARIABLE] = before


def _oldest() -> int:
    """Return the lowest id. The ids of the history begin with 1, and have no gaps."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id) FROM taskmaster_tasks_task")
        return int(cursor.fetchone()[0])


def _drain_with(retention: str) -> float:
    """Return the rate of a drain beside a coordinator with this retention, in tasks per second."""
    with _retention(retention), fleet.running(concurrency=THREADS):
        before = _oldest()
        _drain()
        rate = _drain()
        deletes = _oldest() > before
        assert deletes == (retention == _SHORT), f"the retention {retention} was not in force"
    return rate


def _drain() -> float:
    ids = bulk([new(noop)] * _TASKS)
    fleet.wait_until(drained, "the drain", 120)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), EXTRACT(EPOCH FROM max(completed_at) - min(picked_at))::float8 "
            "FROM taskmaster_tasks_task WHERE id >= %s AND status = 'complete'",
            [ids[0]],
        )
        count, seconds = cursor.fetchone()
    assert count == _TASKS, f"{count} of {_TASKS} tasks are complete"
    return float(count / seconds)
