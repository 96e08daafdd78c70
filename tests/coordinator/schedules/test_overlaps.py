"""Test the rules for a due time at which an earlier run has not ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks import task_actions
from taskmaster.tasks.models import IdleCoordinator, Schedule, ScheduleRun, Statistic, Task
from tests.coordinator.schedules.sample import (
    LeadingRunner,
    create_overdue,
    make_due,
    runs,
    states,
    tasks,
)
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


async def advance(leader: LeadingRunner, schedule: Schedule) -> None:
    """Make the schedule due now, and store its runs."""
    await make_due(schedule)
    await leader.step()


async def end_task(task_id: int | None, status: str = "complete") -> None:
    await Task.objects.filter(pk=task_id).aupdate(status=status)


async def test_skip_records_the_due_times_while_a_run_has_not_ended_in_one_row() -> None:
    schedule = await create_overdue(0, overlap="skip")
    async with LeadingRunner().opened() as leader:
        await leader.step()
        [first] = await tasks(schedule)
        for _ in range(3):
            await advance(leader, schedule)
        assert await states(schedule) == [("created", 1), ("overlap", 3)]
        row = (await runs(schedule))[1]
        assert row.reason.endswith(f"had not ended: task {first.pk}.")
        assert row.last_due_at is not None
        assert row.last_due_at > row.due_at
        await end_task(first.pk)
        await advance(leader, schedule)
    assert await states(schedule) == [("created", 1), ("overlap", 3), ("created", 1)]
    assert [run.settled for run in await runs(schedule)] == [True, False, False]


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_running"])
async def test_a_run_whose_task_is_deleted_or_ended_does_not_count(overlap: str) -> None:
    schedule = await create_overdue(0, overlap=overlap)
    async with LeadingRunner().opened() as leader:
        await leader.step()
        await Task.objects.all().adelete()
        await advance(leader, schedule)
        [second] = await tasks(schedule)
        await end_task(second.pk, "failed")
        await advance(leader, schedule)
    assert await states(schedule) == [("created", 1)] * 3


async def test_a_run_that_ended_and_is_retried_by_hand_counts_again() -> None:
    schedule = await create_overdue(0, overlap="skip")
    async with LeadingRunner().opened() as leader:
        await leader.step()
        [first] = await tasks(schedule)
        await end_task(first.pk, "failed")
        await advance(leader, schedule)
        _, second = await tasks(schedule)
        await end_task(second.pk)
        await advance(leader, schedule)
        assert await states(schedule) == [("created", 1)] * 3
        await end_task((await tasks(schedule))[-1].pk)
        await sync_to_async(task_actions.retry)(first.pk)
        await advance(leader, schedule)
    assert await states(schedule) == [*[("created", 1)] * 3, ("overlap", 1)]


async def test_a_manual_run_that_has_not_ended_counts() -> None:
    schedule = await create_overdue(0, overlap="skip")
    manual = await Task.objects.acreate(name="shell", max_attempts=1, timeout_s=1)
    await ScheduleRun.objects.acreate(
        schedule=schedule,
        kind="manual",
        due_at=schedule.next_due_at - timedelta(seconds=1),
        run_at=schedule.next_due_at,
        state="created",
        task_id=manual.pk,
    )
    async with LeadingRunner().opened() as leader:
        await leader.step()
    assert await states(schedule) == [("created", 1), ("overlap", 1)]


async def test_queue_one_keeps_one_run_and_starts_it_when_the_earlier_one_has_ended() -> None:
    schedule = await create_overdue(0, overlap="queue_one")
    async with LeadingRunner().running() as leader:
        await until(lambda: tasks(schedule))
        [first] = await tasks(schedule)
        for expected in (
            [("created", 1), ("queued", 1)],
            [("created", 1), ("queued", 1), ("overlap", 1)],
        ):
            await make_due(schedule)
            leader.runner.wake()
            await until(lambda expected=expected: has_states(schedule, expected))
        assert len(await tasks(schedule)) == 1
        await end_task(first.pk)
        await until(lambda: has_states(schedule, [("created", 1)] * 2 + [("overlap", 1)]))
    _, queued, _ = await runs(schedule)
    _, second = await tasks(schedule)
    assert (queued.task_id, second.scheduled_for) == (second.pk, queued.due_at)
    assert second.scheduled_at > queued.due_at
    assert queued.reason.endswith(f"had not ended: task {first.pk}.")
    await schedule.arefresh_from_db()
    assert schedule.runs_made == 2


async def has_states(schedule: Schedule, expected: list[Any]) -> bool:
    return await states(schedule) == expected


async def test_a_queued_run_does_not_start_while_its_schedule_or_everything_is_paused() -> None:
    schedule = await create_overdue(0, overlap="queue_one")
    async with LeadingRunner().opened() as leader:
        await leader.step()
        await advance(leader, schedule)
        [first] = await tasks(schedule)
        await end_task(first.pk)
        await Schedule.objects.filter(pk=schedule.pk).aupdate(paused_at=schedule.next_due_at)
        await leader.step()
        assert len(await tasks(schedule)) == 1
        await Schedule.objects.filter(pk=schedule.pk).aupdate(paused_at=None)
        await leader.step()
    assert len(await tasks(schedule)) == 2


async def test_two_leaders_start_a_queued_run_once() -> None:
    schedule = await create_overdue(0, overlap="queue_one")
    async with LeadingRunner().opened() as one, LeadingRunner().opened() as two:
        await one.step()
        await advance(one, schedule)
        [first] = await tasks(schedule)
        await end_task(first.pk)
        batches = [await leader.plan_queued() for leader in (one, two)]
        started = [
            await leader.runner._writer.start_queued(*batch)
            for leader, batch in zip((one, two), batches, strict=True)
        ]
    assert started == [1, 0]
    assert len(await tasks(schedule)) == 2


async def test_cancel_running_cancels_the_earlier_run_in_the_same_transaction() -> None:
    schedule = await create_overdue(0, overlap="cancel_running")
    async with LeadingRunner().opened() as leader:
        await leader.step()
        [first] = await tasks(schedule)
        await Task.objects.filter(pk=first.pk).aupdate(status="started", attempt=1)
        await advance(leader, schedule)
    first, second = await tasks(schedule)
    assert (first.status, second.status) == ("cancelled", "pending")
    assert first.errors[0]["class"] == "cancelled"
    assert (await runs(schedule))[1].reason.endswith(f": task {first.pk}.")
    assert await Statistic.objects.filter(cancelled=1).aexists()
    assert not await IdleCoordinator.objects.aexists()


async def test_a_later_due_time_that_a_user_has_skipped_is_passed_over() -> None:
    schedule = await create_overdue(0, overlap="cancel_running", max_runs=2)
    assert schedule.next_due_at is not None
    skipped_at = schedule.next_due_at + timedelta(hours=1)
    await ScheduleRun.objects.acreate(
        schedule=schedule, due_at=skipped_at, run_at=skipped_at, state="skipped"
    )
    async with LeadingRunner().opened() as leader:
        await leader.step()
    await schedule.arefresh_from_db()
    assert (schedule.next_due_at, schedule.runs_made) == (skipped_at + timedelta(hours=1), 1)


async def test_a_maximum_of_runs_counts_only_those_that_were_not_in_the_way() -> None:
    schedule = await create_overdue(0, overlap="skip", max_runs=2)
    async with LeadingRunner().opened() as leader:
        await leader.step()
        await advance(leader, schedule)
        [first] = await tasks(schedule)
        await end_task(first.pk)
        await advance(leader, schedule)
    await schedule.arefresh_from_db()
    assert await states(schedule) == [("created", 1), ("overlap", 1), ("created", 1)]
    assert (schedule.runs_made, schedule.next_due_at, schedule.next_run_at) == (2, None, None)
    assert schedule.ended_reason == "The maximum number of runs was reached: 2."
    assert schedule.ended_at is not None
