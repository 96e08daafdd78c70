"""Create schedules as users do, and runs as the leading coordinator does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User

from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.permissions import (
    CHANGE_SCHEDULE,
    RUN_SCHEDULE,
    SUBMIT_SHELL,
    VIEW_SCHEDULE,
)
from taskmaster.tasks.schedules import service
from tests.factories import stored, user_with

ADD = "examples.tasks.add"
ALL = (VIEW_SCHEDULE, CHANGE_SCHEDULE, RUN_SCHEDULE, SUBMIT_SHELL)


def fields(**changes: object) -> dict[str, object]:
    """Return the fields of a valid schedule. It is due once an hour, and not within a minute."""
    anchor = datetime.now(UTC) + timedelta(minutes=30)
    given = {
        "name": f"schedule-{uuid4().hex[:8]}",
        "task": ADD,
        "args": [1, 2],
        "interval_s": 3600,
        "anchor": anchor.isoformat(),
        "timezone": "UTC",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def created(user: User | None = None, **changes: object) -> Schedule:
    """Create such a schedule for a user."""
    return service.create(fields(**changes), user=user)


def a_planner() -> User:
    """Create a user with all permissions on schedules."""
    return user_with(*ALL)


def ahead(
    schedule: Schedule, due_at: datetime | None = None, **task: Any
) -> tuple[ScheduleRun, Task]:
    """Store a run with its task before it is due, and move the schedule on by an interval."""
    due_at = due_at or schedule.next_due_at
    assert due_at is not None
    [task_id] = stored(name=schedule.task, args="[1,2]", kwargs="{}")
    given = {"schedule": schedule, "scheduled_for": due_at, "scheduled_at": due_at, **task}
    Task.objects.filter(pk=task_id).update(**given)
    run = ScheduleRun.objects.create(
        schedule=schedule, due_at=due_at, run_at=due_at, state=RunState.CREATED, task_id=task_id
    )
    following = due_at + timedelta(seconds=schedule.interval_s or 0)
    Schedule.objects.filter(pk=schedule.pk).update(
        runs_made=schedule.runs_made + 1, next_due_at=following, next_run_at=following
    )
    schedule.refresh_from_db()
    return run, Task.objects.get(pk=task_id)


def left_behind(schedule: Schedule, count: int) -> list[datetime]:
    """Make the last `count` due times ones that no leader has searched. Return them."""
    assert schedule.next_due_at is not None
    step = timedelta(seconds=schedule.interval_s or 0)
    due_times = [schedule.next_due_at - number * step for number in range(count, 0, -1)]
    Schedule.objects.filter(pk=schedule.pk).update(
        next_due_at=due_times[0], next_run_at=due_times[0]
    )
    schedule.refresh_from_db()
    return due_times
