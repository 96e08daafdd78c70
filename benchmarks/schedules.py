"""Measure schedules: the lateness of their runs, the cost of idle ones, and many at one instant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import quantiles

import psutil
from django.db import connection

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.tasks import noop
from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun, Task
from taskmaster.tasks.store.schedule_changes import notify_schedules
from taskmaster.tasks.timing.timing import jitter

_SCHEDULES = 300
_SPREAD_S = 10.0
_JITTER_S = 2.0
_MANY = 10_000
_IDLE_S = 60.0
#: The first search after a change has ended by then.
_SETTLE_S = 5.0


def measure() -> list[Figure]:
    """Return the figures of one run."""
    with fleet.running(executor="thread", concurrency=8) as pids:
        return [*_lateness("allow"), *_lateness("skip"), *_idle(pids.coordinator), *_one_instant()]


def _store(dues: list[datetime], **fields: object) -> None:
    """Store one schedule for each due time, and notify the leader."""
    schedules = []
    for number, due_at in enumerate(dues):
        schedule = Schedule(
            name=f"bench-{number}",
            task=noop.module_path,
            trigger="dates",
            dates=[due_at],
            timezone="UTC",
            next_due_at=due_at,
            **fields,
        )
        schedule.next_run_at = due_at + jitter(schedule.name, due_at, schedule.jitter_s)
        schedules.append(schedule)
    Schedule.objects.bulk_create(schedules, batch_size=1_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE taskmaster_tasks_schedule")
    notify_schedules()


def _clean() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE taskmaster_tasks_schedule, taskmaster_tasks_schedulerun, "
            "taskmaster_tasks_task"
        )


def _until_complete(count: int, deadline_s: float = 120.0) -> None:
    fleet.wait_until(
        lambda: Task.objects.filter(status="complete").count() == count, "the tasks", deadline_s
    )


def _lateness(overlap: str) -> list[Figure]:
    """Measure from the jittered time to the start."""
    _clean()
    first = datetime.now(UTC) + timedelta(seconds=5)
    step = timedelta(seconds=_SPREAD_S / _SCHEDULES)
    dues = [first + step * number for number in range(_SCHEDULES)]
    _store(dues, overlap=overlap, jitter_s=_JITTER_S)
    _until_complete(_SCHEDULES)
    run_at = dict(ScheduleRun.objects.values_list("task_id", "run_at"))
    late = [
        (started_at - run_at[task_id]).total_seconds() * 1_000
        for task_id, started_at in Task.objects.values_list("id", "started_at")
        if started_at is not None
    ]
    assert len(late) == _SCHEDULES
    # The clock of a coordinator may be early by a moment, but a task never is.
    assert min(late) >= 0, f"a task started {-min(late)} ms early"
    cuts = quantiles(late, n=100, method="inclusive")
    conditions = f"{_SCHEDULES} schedules over {_SPREAD_S:.0f} s, jitter {_JITTER_S:.0f} s"
    name = f"lateness of runs, overlap {overlap}"
    return [
        Figure(f"{name}, p50", cuts[49], "ms", conditions),
        Figure(f"{name}, p99", cuts[98], "ms", conditions, target="≤ 20 ms", passed=cuts[98] <= 20),
    ]


def _idle(coordinator: int) -> list[Figure]:
    """Measure what schedules cost that are not due."""
    _clean()
    with _cpu(coordinator) as without:
        time.sleep(_IDLE_S)
    _store([datetime.now(UTC) + timedelta(hours=3)] * _MANY)
    time.sleep(_SETTLE_S)
    with _cpu(coordinator) as used:
        searches = _count_searches(_IDLE_S)
    added = max(0.0, used[0] - without[0]) * 100
    conditions = f"{_MANY:,} schedules that are due in 3 hours, {_IDLE_S:.0f} s"
    return [
        Figure(
            "queries of idle schedules", searches * 60 / _IDLE_S, "per minute", conditions,
            target="≤ 1", passed=searches * 60 / _IDLE_S <= 1,
        ),
        Figure(
            "CPU time of idle schedules", added, "% of a core",
            f"{conditions}; coordinator and its database sessions, minus those without schedules",
            target="≤ 0.1 %", passed=added <= 0.1,
        ),
    ]  # fmt: skip


def _count_searches(seconds: float) -> int:
    """Count the searches of the leader, each of which records its time."""
    seen, until = {SchedulerState.objects.get().checked_at}, time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        seen.add(SchedulerState.objects.get().checked_at)
    return len(seen) - 1


@contextmanager
def _cpu(coordinator: int) -> Iterator[list[float]]:
    """Append the share of a core that the coordinator and its sessions have used."""
    share: list[float] = []
    before, began = _cpu_s(coordinator), time.monotonic()
    yield share
    share.append((_cpu_s(coordinator) - before) / (time.monotonic() - began))


def _cpu_s(coordinator: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'taskmaster-%'"
        )
        pids = [coordinator, *(row[0] for row in cursor.fetchall())]
    times = [psutil.Process(pid).cpu_times() for pid in pids if psutil.pid_exists(pid)]
    return sum(each.user + each.system for each in times)


def _one_instant() -> list[Figure]:
    """Measure many schedules that are due at the same instant."""
    _clean()
    due_at = datetime.now(UTC) + timedelta(seconds=45)
    _store([due_at] * _MANY)
    _until_complete(_MANY, 240.0)
    created = Task.objects.order_by("created_at").values_list("created_at", flat=True)
    created_s = (created[_MANY - 1] - created[0]).total_seconds()
    last = Task.objects.order_by("-started_at").values_list("started_at", flat=True)[0]
    assert last is not None
    started_s = (last - due_at).total_seconds()
    conditions = f"{_MANY:,} schedules due at one instant, 2 workers of 8 threads"
    return [
        Figure("creation of many runs", created_s, "s", f"{conditions}; first to last"),
        Figure(
            "start of many runs", started_s, "s", f"{conditions}; from due to the last start",
            target="≤ 2 s", passed=started_s <= 2,
        ),
    ]  # fmt: skip
