"""Test changes by users while a coordinator leads: no old run starts, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks.models import Schedule, Task
from taskmaster.tasks.schedules import service
from tests.coordinator.schedules.sample import LeadingRunner, runs, states, tasks
from tests.factories import a_schedule

pytestmark = pytest.mark.django_db(transaction=True)

#: Changes by users that a leader may not notice between its plan and its statement.
CHANGES: dict[str, Callable[[Schedule], Any]] = {
    "edit": lambda schedule: service.update(schedule, {"args": [3, 4]}, user=None),
    "pause": lambda schedule: service.pause(schedule, "", user=None),
    "skip": lambda schedule: service.skip_next(schedule, "", user=None),
    "delete": lambda schedule: service.delete(schedule, user=None),
    "pause_all": lambda _: service.pause_all("", user=None),
}


@sync_to_async
def due_soon(**fields: object) -> Schedule:
    """Store a schedule that is due in 20 s: its run is created ahead."""
    due_at = datetime.now(UTC) + timedelta(seconds=20)
    return a_schedule(anchor=due_at, interval_s=3600, next_due_at=due_at, **fields)


async def tasks_by_id(schedule: Schedule) -> list[Task]:
    return sorted(await tasks(schedule), key=lambda task: task.pk)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_between_plan_and_statement_voids_the_plan(change: str) -> None:
    schedule = await due_soon()
    async with LeadingRunner().opened() as leader:
        plans, search = await leader.plan()
        assert len(plans) == 1
        await sync_to_async(CHANGES[change])(schedule)
        assert await leader.create(plans, search) == 0
    assert await tasks(schedule) == []


@pytest.mark.parametrize("change", CHANGES)
async def test_a_run_that_was_created_ahead_does_not_start_after_a_change(change: str) -> None:
    schedule = await due_soon()
    async with LeadingRunner().opened() as leader:
        assert await leader.step() == 1
        [task] = await tasks(schedule)
        await sync_to_async(CHANGES[change])(schedule)
        await task.arefresh_from_db()
        assert task.status == "cancelled"
        assert await leader.step() == (1 if change == "edit" else 0)
    if change == "edit":
        # The new version runs at the same due time.
        assert await states(schedule) == [("withdrawn", 1), ("created", 1)]
        old, new = await tasks_by_id(schedule)
        assert (old.scheduled_for, old.status) == (new.scheduled_for, "cancelled")
        assert (new.args, new.status) == ([3, 4], "pending")


async def test_a_short_pause_does_not_lose_the_run_that_it_withdrew() -> None:
    schedule = await due_soon(max_runs=1)
    async with LeadingRunner().opened() as leader:
        for begin, end in (
            (lambda: service.pause(schedule, "", user=None), service.resume),
            (lambda: service.pause_all("", user=None), None),
        ):
            assert await leader.step() == 1
            await sync_to_async(begin)()
            assert await leader.step() == 0
            if end is None:
                await sync_to_async(service.resume_all)(user=None)
            else:
                await sync_to_async(end)(schedule, user=None)
        assert await leader.step() == 1
    assert [run.state for run in await runs(schedule)] == ["withdrawn", "withdrawn", "created"]
    assert [each.status for each in await tasks_by_id(schedule)] == [
        "cancelled",
        "cancelled",
        "pending",
    ]
    assert len({run.due_at for run in await runs(schedule)}) == 1
