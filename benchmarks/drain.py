"""How fast a backlog of no-op tasks is worked off, against raw SQL that does the same writes.

The reference claims and completes the same rows in batches of 500 over two connections, in two
processes: no gRPC, no Python task. Rates run from the first to the last row, as in the peers'.
"""

from __future__ import annotations

import multiprocessing
from statistics import median

import psycopg
from django.db import connection, transaction

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.tasks import noop
from coordinator.database import conninfo
from tasks.enqueue import bulk, new

TASKS = 40_000
_BATCH = 500
#: Of each worker.
THREADS = 16
_WARM_UP = 1_000
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id FROM tasks_task
    WHERE status = 'pending' AND queue = 'default' AND priority = 0 AND scheduled_at <= now()
    ORDER BY scheduled_at LIMIT 500 FOR UPDATE SKIP LOCKED
)
UPDATE tasks_task AS task SET status = 'picked', lease = lease + 1, picked_at = now()
FROM due WHERE task.id = due.id RETURNING task.id, task.lease
"""
_COMPLETE = """
UPDATE tasks_task AS task
SET status = 'complete', attempt = 1, started_at = now(), completed_at = now()
FROM unnest(%s::bigint[], %s::bigint[]) AS done (id, lease)
WHERE task.id = done.id AND task.lease = done.lease AND task.status || '' IN ('picked', 'started')
"""


def backlog() -> None:
    """Fills the emptied table and lets PostgreSQL know it."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tasks_task")
    bulk([new(noop)] * TASKS)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tasks_task")


def _work_off(info: str) -> None:
    with psycopg.connect(info, autocommit=True) as link, link.cursor(binary=True) as cursor:
        while rows := cursor.execute(_CLAIM).fetchall():
            ids, leases = map(list, zip(*rows, strict=True))
            cursor.execute(_COMPLETE, (ids, leases))


def reference() -> float:
    """Tasks per second of raw SQL."""
    backlog()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work_off, args=(conninfo(),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return _rate()


def drain() -> float:
    """Tasks per second of TaskMaster, from the first claim to the last completion.

    The processes have started and run tasks before the backlog is committed.
    """
    with fleet.running(concurrency=THREADS):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE tasks_task")
        bulk([new(noop)] * _WARM_UP)
        fleet.wait_until(drained, "the warm-up")
        with transaction.atomic():
            backlog()
        fleet.wait_until(drained, "the drain", 120)
    return _rate()


def drained() -> bool:
    """Asks the partial indexes: a count of the table would cost more than what is measured."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM tasks_task WHERE status = 'pending') "
            "AND NOT EXISTS (SELECT FROM tasks_task WHERE status IN ('picked', 'started'))"
        )
        return bool(cursor.fetchone()[0])


def _rate() -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), EXTRACT(EPOCH FROM max(completed_at) - min(picked_at))::float8 "
            "FROM tasks_task WHERE status = 'complete'"
        )
        count, seconds = cursor.fetchone()
    assert count == TASKS, f"{count} of {TASKS} tasks are complete"
    return float(count / seconds)


def measure(rounds: int = 3) -> list[Figure]:
    """In turn, so that a machine that slows down slows both."""
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
            wanted="ratio ≥ 0.3",
            holds=ratio >= 0.3,
        )
    ]
