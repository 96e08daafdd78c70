"""Create schedules and runs as a coordinator leaves them, for tests of what reads them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from tests.factories import in_s, stored


def nightly(name: str = "nightly-backup", **fields: Any) -> Schedule:
    """Store a schedule that is due every day at 02:30 UTC."""
    given = {
        "task": "examples.tasks.add", "args": [1, 2], "trigger": "cron", "cron": "30 2 * * *",
        "timezone": "UTC", "next_due_at": in_s(3_600), "next_run_at": in_s(3_600), **fields,
    }  # fmt: skip
    return Schedule.objects.create(name=name, **given)


def a_run(
    schedule: Schedule, due_at: datetime, state: str = "created", status: str = "", **fields: Any
) -> ScheduleRun:
    """Store a run of the schedule. With a status, it has a task, which starts when it is due."""
    task_id = None
    if status:
        [task_id] = stored(1, name=schedule.task, args="[1,2]", kwargs="{}")
        times = {} if status == "pending" else {"started_at": due_at, "attempt": 1}
        column = {"complete": "completed_at", "failed": "failed_at", "cancelled": "cancelled_at"}
        if status in column:
            times[column[status]] = due_at + timedelta(seconds=90)
        error = fields.pop("errors", [])
        Task.objects.filter(pk=task_id).update(
            status=status,
            schedule=schedule,
            scheduled_for=due_at,
            scheduled_at=due_at,
            errors=error,
            **times,
        )
    given = {"run_at": due_at, "task_id": task_id, **fields}
    return ScheduleRun.objects.create(schedule=schedule, due_at=due_at, state=state, **given)
