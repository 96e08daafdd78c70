"""Measure single submissions from several processes, against bare INSERTs with commit."""

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
from taskmaster.coordinator.support.database import conninfo

PROCESSES = 8
EACH = 2_000
_INSERT = """
INSERT INTO taskmaster_tasks_task (name, args, kwargs, max_attempts, timeout_s)
VALUES (%s, %s::json, %s::json, %s, %s) RETURNING id
"""


def _insert(info: str, barrier: Barrier) -> None:
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
        cursor.execute("TRUNCATE taskmaster_tasks_task")
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
        cursor.execute("SELECT count(*) FROM taskmaster_tasks_task")
        assert cursor.fetchone() == (PROCESSES * (EACH + 1),)
    return PROCESSES * EACH / seconds


def measure(rounds: int = 5) -> list[Figure]:
    """Alternate between reference and TaskMaster, as in the drain."""
    pairs = [(_rate(_insert), _rate(_enqueue)) for _ in range(rounds)]
    ratio = median(ours / raw for raw, ours in pairs)
    ours = median(ours for _, ours in pairs)
    return [
        Figure(
            "single submissions",
            ours,
            "tasks/s",
            f"enqueue() from {PROCESSES} processes, no idle coordinator; reference: plain psycopg "
            f"INSERT and commit from the same number; medians of {rounds}",
            reference=ours / ratio,
            target="ratio ≥ 0.6",
            passed=ratio >= 0.6,
        )
    ]
