"""Measure how long tasks wait for a rescue after a fault, and a stop with running tasks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

from django.utils import timezone

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.tasks import nap
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.models import Task

_SLOTS = 4
#: Longer than the measurement, so that no task ends during it.
_LONG_S = 600.0


def measure() -> list[Figure]:
    """Return the figures; each fault has a new fleet."""
    return [
        _worker("kill -9", signal.SIGKILL, 4.0),
        _worker("SIGSTOP", signal.SIGSTOP, 20.0),
        _coordinator(),
        _graceful_stop(),
    ]


def _worker(what: str, number: signal.Signals, most_s: float) -> Figure:
    """Measure from the signal to the rescue of every task of the worker."""
    with _fleet(_SLOTS) as pids:
        _begin()
        seconds = _seconds(lambda: os.kill(pids.workers[0], number), _rescued)
        if number == signal.SIGSTOP:
            os.kill(pids.workers[0], signal.SIGCONT)
    return _figure(f"rescue after {what} of a worker", seconds, most_s)


def _coordinator() -> Figure:
    """Measure from kill -9 of a coordinator and its worker to the rescue by the other one."""
    with _fleet(_SLOTS) as first, fleet.running(0):
        # A new coordinator does not take over tasks of others for 10 s.
        fleet.wait_until(_other_is_settled, "the other coordinator")
        _begin()

        def strike() -> None:
            os.kill(first.coordinator, signal.SIGKILL)
            os.kill(first.workers[0], signal.SIGKILL)

        seconds = _seconds(strike, _rescued)
    return _figure("rescue after kill -9 of a coordinator and its worker", seconds, 4.0)


def _graceful_stop() -> Figure:
    """Measure from SIGTERM to the exit of a worker with ten running tasks of 5 s."""
    with _fleet(10) as pids:
        bulk([new(nap, 5.0)] * 10)
        fleet.wait_until(lambda: _count(status="started") == 10, "the tasks")
        seconds = _seconds(
            lambda: os.kill(pids.workers[0], signal.SIGTERM),
            lambda: _count(status="complete") == 10,
        )
    return _figure("graceful stop with ten running tasks of 5 s", seconds, 10.0)


def _fleet(concurrency: int) -> AbstractContextManager[fleet.Pids]:
    """Start a coordinator and a worker without tasks."""
    Task.objects.all().delete()
    return fleet.running(1, executor="process", concurrency=concurrency)


def _begin() -> None:
    bulk([new(nap, _LONG_S)] * _SLOTS)
    fleet.wait_until(lambda: _count(status="started") == _SLOTS, "the tasks")


def _count(**filters: object) -> int:
    return Task.objects.filter(**filters).count()


def _rescued() -> bool:
    return not _count(errors=[])


def _other_is_settled() -> bool:
    from taskmaster.coordinator.models import Coordinator

    since = timezone.now() - timedelta(seconds=11)
    return Coordinator.objects.filter(online=True, started_at__lt=since).count() == 2


def _seconds(strike: Callable[[], None], over: Callable[[], bool]) -> float:
    began = time.monotonic()
    strike()
    fleet.wait_until(over, "the rescue", every_s=0.02)
    return time.monotonic() - began


def _figure(name: str, seconds: float, most_s: float) -> Figure:
    return Figure(
        name,
        seconds,
        "s",
        f"1 worker of {_SLOTS} processes, one run" if "ten" not in name else "1 worker, one run",
        target=f"≤ {most_s:g} s",
        passed=seconds <= most_s,
    )
