"""Test the records of due times that get no task, and the deletion of old rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks.models import Event, Schedule, SchedulerState, ScheduleRun, Task
from tests.coordinator.schedules.sample import (
    LeadingRunner,
    create,
    create_overdue,
    database_now,
    runs,
    states,
    tasks,
)
from tests.factories import in_s, user_with
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

new_user = sync_to_async(user_with)


async def stepped(schedule: Schedule, **settings: object) -> Schedule:
    """Create the runs of a schedule until it is up to date, and read it again."""
    async with LeadingRunner(**settings).opened() as leader:
        while await leader.step():
            pass
        await leader.publisher.publish()
    await schedule.arefresh_from_db()
    return schedule


async def test_missed_runs_are_folded_counted_and_made_up_within_the_window() -> None:
    await SchedulerState.objects.acreate(checked_at=await sync_to_async(database_now)())
    schedule = await create_overdue(630, every_s=60, missed="latest", catch_up_s=300)
    await stepped(schedule, lookahead_s=20.0)
    assert await states(schedule) == [
        ("outside_window", 6),
        ("missed", 3),
        ("created", 1),
        ("created", 1),
    ]
    made_up, late = await tasks(schedule)
    assert late.scheduled_for - made_up.scheduled_for == timedelta(seconds=60)
    assert made_up.scheduled_at >= late.scheduled_for
    assert (await SchedulerState.objects.aget()).missed_total == 10


async def test_the_reason_of_missed_runs_is_the_time_without_a_leader() -> None:
    now = await sync_to_async(database_now)()
    await SchedulerState.objects.acreate(
        checked_at=now - timedelta(hours=2), leader="00000000-0000-0000-0000-000000000001"
    )
    schedule = await create_overdue(3_610, missed="skip")
    await stepped(schedule)
    missed, _ = await runs(schedule)
    start = now - timedelta(hours=2)
    assert missed.reason.startswith("No coordinator led from ")
    assert f"{start:%H:%M:%S} to " in missed.reason


async def test_a_pause_is_recorded_in_one_row_until_it_ends() -> None:
    now = await sync_to_async(database_now)()
    schedule = await create_overdue(
        200, every_s=60, paused_at=now - timedelta(seconds=201), paused_by="ann"
    )
    await stepped(schedule)
    assert await states(schedule) == [("paused", 4)]
    assert schedule.next_run_at - now >= timedelta(seconds=60)
    assert schedule.next_due_at - now < timedelta(seconds=60)
    # The next record is folded into the same row.
    await Schedule.objects.filter(pk=schedule.pk).aupdate(
        next_due_at=schedule.next_due_at - timedelta(minutes=1), next_run_at=now
    )
    await stepped(schedule)
    assert await states(schedule) == [("paused", 5)]
    assert await tasks(schedule) == []


async def test_a_pause_of_everything_is_recorded_and_voids_older_plans() -> None:
    schedule = await create_overdue(0.1)
    async with LeadingRunner().opened() as leader:
        plans, search = await leader.plan()
        await SchedulerState.objects.aupdate(
            paused_at=search.now, paused_by="bob", pause_reason="migration"
        )
        assert await leader.create(plans, search) == 0
        assert await leader.step() == 1
    [run] = await runs(schedule)
    assert run.state == "paused"
    assert run.reason.startswith("All schedules are paused by bob since ")
    assert run.reason.endswith(": migration")
    assert await tasks(schedule) == []


async def test_a_task_that_does_not_exist_is_refused_and_the_schedule_goes_on() -> None:
    schedule = await create_overdue(0, task="examples.tasks.gone")
    await stepped(schedule)
    [run] = await runs(schedule)
    assert (run.state, run.task_id) == ("refused", None)
    assert run.reason.startswith("task: 'examples.tasks.gone' is not a registered task")
    [event] = [each async for each in Event.objects.filter(kind="schedule")]
    assert event.text == f"refused a run of schedule {schedule.name}"
    assert schedule.next_due_at > run.due_at
    assert schedule.paused_at is None


async def test_an_error_of_the_project_refuses_the_run_and_disturbs_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKMASTER_SHELL_TASKS", "true")
    owner = await new_user()

    def fail(*_: object) -> bool:
        raise ConnectionError("the directory server does not answer")

    monkeypatch.setattr(type(owner), "has_perm", fail)
    refused = await create_overdue(
        0, owner_id=owner.pk, task="shell", args=[], kwargs={"command": "true"}
    )
    other = await create_overdue(0)
    async with LeadingRunner().opened() as leader:
        await leader.step()
    [run] = await runs(refused)
    assert (run.state, run.reason) == (
        "refused",
        "It cannot be submitted: ConnectionError: the directory server does not answer",
    )
    assert await states(other) == [("created", 1)]


@pytest.mark.parametrize("fault", ["inactive", "deleted"])
async def test_an_owner_who_is_gone_pauses_the_schedule_with_that_reason(fault: str) -> None:
    owner = await new_user()
    schedule = await create_overdue(0, owner_id=owner.pk)
    if fault == "inactive":
        owner.is_active = False
        await owner.asave()
        reason = f"The owner {owner.username} is not active."
    else:
        await owner.adelete()
        reason = "The owner was deleted."
    await stepped(schedule)
    [run] = await runs(schedule)
    assert (run.state, run.reason, run.task_id) == ("refused", reason, None)
    assert (schedule.pause_reason, schedule.paused_by, schedule.version) == (reason, "", 1)
    assert schedule.paused_at is not None
    assert await tasks(schedule) == []


async def test_runs_carry_the_owner() -> None:
    owner = await new_user()
    schedule = await create_overdue(0, owner_id=owner.pk)
    await stepped(schedule)
    [task] = await tasks(schedule)
    assert task.created_by_id == owner.pk


async def test_shell_commands_need_the_permission_of_the_owner_at_each_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKMASTER_SHELL_TASKS", "true")
    may = await new_user("taskmaster_tasks.submit_shell")
    may_not = await new_user()
    fields = {"task": "shell", "args": [], "kwargs": {"command": "true"}}
    allowed = await create_overdue(0, owner_id=may.pk, **fields)
    refused = await create_overdue(0, owner_id=may_not.pk, **fields)
    async with LeadingRunner().opened() as leader:
        await leader.step()
    assert await states(allowed) == [("created", 1)]
    [run] = await runs(refused)
    assert run.reason.endswith("may not submit shell commands: taskmaster_tasks.submit_shell.")


async def test_only_the_newest_runs_are_kept_and_none_whose_task_has_not_ended() -> None:
    schedule = await create(next_due_at=None, next_run_at=None)
    now = await sync_to_async(database_now)()
    running = await Task.objects.acreate(name="shell", max_attempts=1, timeout_s=1)
    for age in range(20):
        await ScheduleRun.objects.acreate(
            schedule=schedule,
            due_at=now - timedelta(hours=age),
            run_at=now,
            state="queued" if age == 18 else "created" if age == 19 else "missed",
            task_id=running.pk if age == 19 else None,
        )
    await Schedule.objects.filter(pk=schedule.pk).aupdate(next_due_at=now, next_run_at=now)
    await ScheduleRun.objects.filter(due_at=now).adelete()
    runner = LeadingRunner(schedule_runs_kept=5)
    runner.runner._writer._chance = lambda: 0.0
    async with runner.opened():
        await runner.step()
    left = await runs(schedule)
    assert [run.state for run in left] == ["created", "queued", *["missed"] * 4, "created"]


async def test_an_idle_leader_searches_once_a_minute_and_records_it() -> None:
    await create(next_due_at=in_s(3_600))
    async with LeadingRunner().running() as leader:
        await until(lambda: leader.runner.searches == 1)
        state = await SchedulerState.objects.aget()
        assert (state.leader, state.missed_total) == (leader.id, 0)
        search, _ = await leader.runner._search()
        now = search.now.timestamp()
        assert 59 < leader.runner._wait_s(search, [], now) <= 60
