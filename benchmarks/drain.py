"""Measure how fast a backlog of no-op tasks is drained, against raw SQL with the same writes.

The reference claims and completes the same rows in batches of 500 over two connections, in two
processes: no gRPC, no Python task. Rates run from the first to the last row, as in the benchmarks
of comparable projects.
"""

from __future__ import annotations

import multiprocessing
from statistics import median

import psycopg
from django.db import connection, transaction

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.tasks import noop
from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.enqueue import bulk, new

TASKS = 40_000
_BATCH = 500
#: Per worker.
THREADS = 16
_WARM_UP = 1_000
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id FROM taskmaster_tasks_task
    WHERE status = 'pending' AND queue = 'default' AND priority = 0 AND scheduled_at <= now()
    ORDER BY scheduled_at LIMIT 500 FOR UPDATE SKIP LOCKED
)
UPDATE taskmaster_tasks_task AS task SET status = 'picked', lease = lease + 1, picked_at = now()
FROM due WHERE task.id = due.id RETURNING task.id, task.lease
"""
_COMPLETE = """
UPDATE taskmaster_tasks_task AS task
SET status = 'complete', attempt = 1, started_at = now(), completed_at = now()
FROM unnest(%s::bigint[], %s::bigint[]) AS done (id, lease)
WHERE task.id = done.id AND task.lease = done.lease AND task.status || '' IN ('picked', 'started')
"""


def backlog() -> None:
    """Empty and fill the table, and update PostgreSQL's statistics."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE taskmaster_tasks_task")
    bulk([new(noop)] * TASKS)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE taskmaster_tasks_task")


def _drain_with_sql(info: str) -> None:
    with psycopg.connect(info, autocommit=True) as link, link.cursor(binary=True) as cursor:
        while rows := cursor.execute(_CLAIM).fetchall():
            ids, leases = map(list, zip(*rows, strict=True))
            cursor.execute(_COMPLETE, (ids, leases))


def reference() -> float:
    """Return the tasks per second of raw SQL."""
    backlog()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_drain_with_sql, args=(conninfo(),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return rate(TASKS)


def drain() -> float:
    """Return the tasks per second of TaskMaster, from the first claim to the last completion.

    The processes have started and run tasks before the backlog is committed.
    """
    with fleet.running(concurrency=THREADS):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE taskmaster_tasks_task")
        bulk([new(noop)] * _WARM_UP)
        fleet.wait_until(drained, "the warm-up")
        with transaction.atomic():
            backlog()
        fleet.wait_until(drained, "the drain", 120)
    return rate(TASKS)


def drained() -> bool:
    """Query the partial indexes: counting the table would cost more than the measured work."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM taskmaster_tasks_task WHERE status = 'pending') "
            "AND NOT EXISTS (SELECT FROM taskmaster_tasks_task "
            "WHERE status IN ('picked', 'started'))"
        )
        return bool(cursor.fetchone()[0])


def rate(tasks: int) -> float:
    """Return the tasks per second, from the first claim to the last completion."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), EXTRACT(EPOCH FROM max(completed_at) - min(picked_at))::float8 "
            "FROM taskmaster_tasks_task WHERE status = 'complete'"
        )
        count, seconds = cursor.fetchone()
    assert count == tasks, f"{count} of {tasks} tasks are complete"
    return float(count / seconds)


def measure(rounds: int = 3) -> list[Figure]:
    """Alternate between reference and TaskMaster, so that a slower machine affects both."""
    pairs = [(reference(), drain()) for _ in range(rounds)]
    ratio = median(ours / raw for raw, ours in pairs)
    ours = median(ours for _, ours in pairs)
    return [
        Figure(
            "drain of no-op tasks",
            ours,
            "tasks/s",
            f"{TASKS:,} tasks, 1 coordinator, 2 workers of {THREADS} threads, warmed up; "
            f"reference: raw SQL claims and completes {_BATCH} at a time over 2 connections; "
            f"medians of {rounds}",
            reference=ours / ratio,
            target="ratio ≥ 0.3",
            passed=ratio >= 0.3,
        )
    ]
