"""Run the statements that change schedules for users, on Django's connection.

`using` is the alias of the database. A function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.statements import statement

#: Bounds of due times, which PostgreSQL understands.
EARLIEST, LATEST = "-infinity", "infinity"


class UnstartedRun(NamedTuple):
    """Identify a scheduled run whose task has not started."""

    run_id: int
    task_id: int


class PassedRun(NamedTuple):
    """Hold due times that have passed without a run, `times` from `due_at` to `last_due_at`."""

    schedule_id: int
    due_at: datetime
    last_due_at: datetime | None
    times: int
    run_at: datetime
    state: str
    reason: str


class MovedSchedule(NamedTuple):
    """Hold the next due time of a schedule, or when and why it has ended."""

    schedule_id: int
    next_due_at: datetime | None
    next_run_at: datetime | None
    ended_at: datetime | None
    ended_reason: str


def read_clock(*, using: str = DEFAULT_DB_ALIAS) -> datetime:
    """Return the time of the database, in UTC."""
    now: datetime = _run(using, "read_clock")[0][0]
    # Without the setting USE_TZ, Django's connection returns local time without a zone.
    return now.astimezone(UTC)


def notify_schedules(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Wake the leading coordinator when the transaction commits."""
    _run(using, "notify_schedules")


def keep_schedule(schedule_id: int, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Keep a schedule from being deleted until the transaction ends. Return whether it exists."""
    return bool(_run(using, "keep_schedule", {"schedule_id": schedule_id}))


def lock_unstarted_runs(
    schedule_id: int | None,
    since: datetime | str,
    until: datetime | str,
    *,
    using: str = DEFAULT_DB_ALIAS,
) -> list[UnstartedRun]:
    """Lock the tasks of scheduled runs that have not started, and return the runs.

    `schedule_id` is one schedule, or None for all. `since` and `until` limit the due times.
    """
    parameters = {"schedule_id": schedule_id, "since": since, "until": until}
    return [UnstartedRun._make(row) for row in _run(using, "lock_unstarted_runs", parameters)]


def record_passed_runs(runs: Sequence[PassedRun], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Store due times that have passed without a run, at most one row for each schedule."""
    columns = {
        "schedule_ids": [run.schedule_id for run in runs],
        "due_ats": [run.due_at for run in runs],
        "last_due_ats": [run.last_due_at for run in runs],
        "counts": [run.times for run in runs],
        "run_ats": [run.run_at for run in runs],
        "states": [run.state for run in runs],
        "reasons": [run.reason for run in runs],
    }
    _run(using, "record_passed_runs", columns)


def move_schedules(
    schedules: Sequence[MovedSchedule], changed_at: datetime, *, using: str = DEFAULT_DB_ALIAS
) -> None:
    """Store the next due times of schedules under a new version."""
    columns = {
        "changed_at": changed_at,
        "ids": [each.schedule_id for each in schedules],
        "next_due_ats": [each.next_due_at for each in schedules],
        "next_run_ats": [each.next_run_at for each in schedules],
        "ended_ats": [each.ended_at for each in schedules],
        "ended_reasons": [each.ended_reason for each in schedules],
    }
    _run(using, "move_schedules", columns)


def withdraw_runs(ids: Sequence[int], reason: str, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Mark runs as withdrawn, whose tasks are cancelled."""
    _run(using, "withdraw_runs", {"ids": list(ids), "reason": reason})


def insert_schedule_runs(
    schedule_id: int,
    task: NewTask,
    due_times: Sequence[datetime],
    *,
    kind: str,
    user: str,
    created_by_id: Any,
    using: str = DEFAULT_DB_ALIAS,
) -> list[tuple[int, int]]:
    """Store a run with its task for each due time. Return the ids of the runs and the tasks."""
    parameters = {
        "schedule_id": schedule_id,
        "kind": kind,
        "due_times": list(due_times),
        "user": user,
        "created_by_id": created_by_id,
        "name": task.name,
        "args": task.args,
        "kwargs": task.kwargs,
        "queue": task.queue,
        "priority": task.priority,
        "max_attempts": task.max_attempts,
        "timeout_s": task.timeout_s,
        "retry_base_s": task.retry_base_s,
        "retry_cap_s": task.retry_cap_s,
        "on_lost_contact": task.on_lost_contact,
        "tags": list(task.tags),
    }
    return [(run, task) for run, task in _run(using, "insert_schedule_runs", parameters)]


def _run(using: str, name: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(statement(name), parameters)
        return cursor.fetchall() if cursor.description else []
