"""Create operations, and tasks in a given status, in one line each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.bulk import backfill, service
from taskmaster.tasks.bulk.request import parse
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import Operation, ScheduleRun, Task
from tests.factories import stored
from tests.tasks.schedules.sample import created
from tests.waiting import wait_until

#: No operation of a test needs more chunks.
_CHUNKS_MAX = 50


def in_status(status: str, count: int = 1, **fields: Any) -> list[int]:
    """Store tasks with this status and these fields; return their ids."""
    ids = stored(count)
    Task.objects.filter(pk__in=ids).update(status=status, **fields)
    return ids


def an_operation(action: str, user: Any = None, **fields: object) -> Operation:
    """Return a confirmed operation."""
    return service.start(parse({"action": action, **fields}), user)


def run_all(operation: Operation) -> Operation:
    """Run the chunks of all operations, as a coordinator does, and read this one again."""
    chunks = 0
    while run_chunk() is not None:
        chunks += 1
        assert chunks <= _CHUNKS_MAX, "the operation does not end"
    operation.refresh_from_db()
    return operation


def a_back_fill(count: int) -> Operation:
    """Start the back-fill of an hourly schedule for this number of due times."""
    schedule = created(interval_s=None, anchor=None, cron="0 * * * *")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return backfill.start(schedule, first, first + timedelta(hours=count - 1), user=None)


def assert_each_due_time_has_run_once(operation: Operation) -> None:
    """Compare the runs of the back-fill, and their tasks, with the due times of its range."""
    assert operation.first_due_at is not None
    hours = [operation.first_due_at + timedelta(hours=hour) for hour in range(operation.total)]
    # The schedule itself may become due during the test.
    runs = ScheduleRun.objects.filter(schedule=operation.schedule_id, kind="backfill")
    assert [run.due_at for run in runs.order_by("due_at")] == hours
    tasks = Task.objects.filter(schedule=operation.schedule_id, scheduled_for__lte=hours[-1])
    assert dict(tasks.values_list("pk", "scheduled_for")) == {
        run.task_id: run.due_at for run in runs
    }


def statuses(ids: list[int]) -> list[str]:
    """Return the statuses of these tasks, in order."""
    found = dict(Task.objects.filter(pk__in=ids).values_list("pk", "status"))
    return [found.get(task_id, "gone") for task_id in ids]


def in_thread(work: Callable[[], object]) -> None:
    """Do the work in a thread of its own, and close its connection."""
    try:
        work()
    finally:
        connection.close()


def wait_for_blocked_session() -> None:
    """Wait until a session waits for a lock."""
    query = "SELECT pid FROM pg_locks WHERE NOT granted"
    with psycopg.connect(conninfo(), autocommit=True) as watching:
        wait_until(lambda: watching.execute(query).fetchone(), "a session waits for a lock", 5)
