"""Run the statements that create the runs of schedules, on the connections of a coordinator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from taskmaster.tasks.messages import ChangedTask, NewTask
from taskmaster.tasks.schedule_messages import (
    DueSchedule,
    Plan,
    QueuedRun,
    ScheduleSearch,
    StoredRun,
)
from taskmaster.tasks.statements import Connection, statement
from taskmaster.tasks.store.parameters import array_literal, columns

_PLAN = (
    "ids", "versions", "due_ats", "act_ats", "valid_untils", "next_due_ats", "next_run_ats",
    "ended_reasons", "pause_reasons", "missed",
)  # fmt: skip
_OPTIONS = (
    "queues", "priorities", "max_attempts", "timeouts_s", "retry_bases_s", "retry_caps_s",
    "on_lost_contacts", "tags",
)  # fmt: skip
_RUN = (
    "run_positions", "run_numbers", "run_due_ats", "run_last_due_ats", "run_counts", "run_ats",
    "run_states", "run_reasons", "run_starts",
)  # fmt: skip
_QUEUED = ("run_ids", "ids", "versions", "refusals")
#: Number of columns of the search that are the same in every row, before those of a schedule.
_HEAD = 9


async def list_due_schedules(
    connection: Connection, leader: UUID, *, ahead_s: float, prepare_s: float, limit: int
) -> ScheduleSearch:
    """Record a search by `leader`, and return the schedules that are due or will be soon.

    Return at most `limit` schedules of each kind: those whose runs are created `ahead_s` seconds
    ahead, those that are listed `prepare_s` seconds before they are due, and those with a queued
    run that can start.
    """
    parameters = {"leader": leader, "ahead_s": ahead_s, "prepare_s": prepare_s, "limit": limit}
    rows = await _fetch(connection, "list_due_schedules", parameters)
    schedules, queued = [], []
    for row in rows:
        run_id, *found = row[_HEAD:]
        if found[0] is None:
            continue
        schedule = DueSchedule._make(found)
        if run_id is None:
            schedules.append(schedule)
        else:
            queued.append(QueuedRun(run_id, schedule))
    return ScheduleSearch._make([*rows[0][:_HEAD], schedules, queued])


async def create_schedule_runs(
    connection: Connection, plans: Sequence[Plan], *, halted_at: datetime | None
) -> list[StoredRun]:
    """Store the runs of `plans` with their tasks. Return those of the plans that still hold.

    `halted_at` is since when everything was paused when the plans were made.
    """
    parameters = {
        **columns(_PLAN, [_plan_row(plan) for plan in plans]),
        **columns(_OPTIONS, [_option_row(plan.task) for plan in plans]),
        **columns(
            _RUN,
            [
                (position, number, *run)
                for position, plan in enumerate(plans, start=1)
                for number, run in enumerate(plan.runs)
            ],
        ),
        "halted_at": halted_at,
    }
    rows = await _fetch(connection, "create_schedule_runs", parameters)
    return [StoredRun._make(row) for row in rows]


async def start_queued_runs(
    connection: Connection,
    runs: Sequence[tuple[QueuedRun, NewTask | None, str]],
    *,
    halted_at: datetime | None,
) -> list[StoredRun]:
    """Create the tasks of queued runs, each with its submission, or None and the refusal."""
    parameters = {
        **columns(
            _QUEUED,
            [(run.id, run.schedule.id, run.schedule.version, refusal) for run, _, refusal in runs],
        ),
        **columns(_OPTIONS, [_option_row(task) for _, task, _ in runs]),
        "halted_at": halted_at,
    }
    rows = await _fetch(connection, "start_queued_runs", parameters)
    return [StoredRun._make(row) for row in rows]


async def prune_schedule_runs(connection: Connection, ids: Collection[int], *, kept: int) -> None:
    """Delete the runs of these schedules except the newest `kept` of each."""
    parameters = {"ids": list(ids), "kept": kept}
    await connection.execute(statement("prune_schedule_runs"), parameters)


async def cancel_tasks(connection: Connection, ids: Sequence[int]) -> list[ChangedTask]:
    """Cancel tasks that have not ended. Return the cancelled ones."""
    rows = await _fetch(connection, "cancel_tasks", {"ids": list(ids)})
    return [ChangedTask(task_id, name, queue) for task_id, name, queue, _ in rows]


def _plan_row(plan: Plan) -> tuple[Any, ...]:
    schedule = plan.schedule
    return (
        schedule.id,
        schedule.version,
        schedule.next_due_at,
        plan.act_at,
        plan.valid_until,
        plan.next_due_at,
        plan.next_run_at,
        plan.ended_reason,
        plan.pause_reason,
        plan.missed,
    )


def _option_row(task: NewTask | None) -> tuple[Any, ...]:
    if task is None:
        return (None,) * len(_OPTIONS)
    return (
        task.queue,
        task.priority,
        task.max_attempts,
        task.timeout_s,
        task.retry_base_s,
        task.retry_cap_s,
        task.on_lost_contact,
        array_literal(task.tags),
    )


async def _fetch(
    connection: Connection, name: str, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()
