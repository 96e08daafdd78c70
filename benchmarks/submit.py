"""Single submissions from several processes, against bare INSERTs with commit from as many."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any

import psycopg
from django.db import connection

from benchmarks.report import Figure
from benchmarks.tasks import noop
from coordinator.database import conninfo

PROCESSES = 8
EACH = 2_000
_INSERT = """
INSERT INTO tasks_task (name, args, kwargs, max_attempts, timeout_s)
VALUES (%s, %s::jsonb, %s::jsonb, %s, %s) RETURNING id
"""


def _bare(info: str, barrier: Barrier) -> None:
    row = ("benchmarks.tasks.noop", "[]", "{}", 3, 3600.0)
    with psycopg.connect(info, autocommit=True) as link:
        link.execute(_INSERT, row)
        barrier.wait()
        for _ in range(EACH):
            link.execute(_INSERT, row).fetchone()
        barrier.wait()


def _enqueue(_info: str, barrier: Barrier) -> None:
    import django

    django.setup()
    noop.enqueue()
    barrier.wait()
    for _ in range(EACH):
        noop.enqueue()
    barrier.wait()


def _rate(target: Any) -> float:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tasks_task")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES + 1)
    processes = [
        context.Process(target=target, args=(conninfo(), barrier)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    began = time.monotonic()
    barrier.wait()
    seconds = time.monotonic() - began
    for process in processes:
        process.join()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks_task")
        assert cursor.fetchone() == (PROCESSES * (EACH + 1),)
    return PROCESSES * EACH / seconds


def measure(rounds: int = 5) -> list[Figure]:
    """In turn, as the drain."""
    pairs = [(_rate(_bare), _rate(_enqueue)) for _ in range(rounds)]
    ratio = median(ours / raw for raw, ours in pairs)
    ours = median(ours for _, ours in pairs)
    return [
        Figure(
            "single submissions",
            ours,
            "tasks/s",
            f"enqueue() from {PROCESSES} processes, no coordinator asleep; reference: bare psycopg "
            f"INSERT and commit from as many; medians of {rounds}",
            reference=ours / ratio,
            wanted="ratio ≥ 0.6",
            holds=ratio >= 0.6,
        )
    ]
