"""Test that the leading coordinator creates one run and one task per due time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.tasks.models import Schedule, SchedulerState, Task
from taskmaster.tasks.schedule_messages import Plan, ScheduleSearch
from tests.coordinator.schedules.sample import (
    LeadingRunner,
    create,
    create_overdue,
    runs,
    states,
    tasks,
)
from tests.factories import in_s
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

#: Stands for a search in a list of the ids of schedules.
_SEARCH = 0


async def test_a_run_is_created_ahead_with_the_task_of_its_due_time() -> None:
    due_at = in_s(20)
    schedule = await create(
        anchor=due_at, next_due_at=due_at, jitter_s=5, queue="mail", tags=["nightly", "x,y"]
    )
    async with LeadingRunner().running() as leader:
        await until(lambda: tasks(schedule))
    [run] = await runs(schedule)
    [task] = await tasks(schedule)
    assert (run.state, run.task_id, run.due_at) == ("created", task.id, due_at)
    assert run.run_at == task.scheduled_at == schedule.next_run_at
    assert (task.name, task.args, task.queue) == (schedule.task, [1, 2], "mail")
    assert (task.tags, task.scheduled_for, task.max_attempts) == (["nightly", "x,y"], due_at, 3)
    assert leader.pending_calls > 0
    await schedule.arefresh_from_db()
    assert (schedule.next_due_at, schedule.runs_made) == (due_at + timedelta(hours=1), 1)
    assert (await SchedulerState.objects.aget()).leader == leader.id


async def test_nothing_is_created_earlier_than_the_look_ahead_or_while_another_one_leads() -> None:
    far, near = await create(next_due_at=in_s(300)), await create(next_due_at=in_s(1))
    runner = LeadingRunner()
    runner.leading.clear()
    async with runner.running():
        # Nothing may happen while it lasts.
        await asyncio.sleep(0.2)
        assert not await runs(near)
        runner.leading.set()
        await until(lambda: runs(near))
    assert not await runs(far)


@sync_to_async
def set_zone_of_server(change: str) -> None:
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} {change}")


async def test_the_zone_of_the_server_does_not_move_an_interval() -> None:
    # The clocks change between this anchor and one of the next due times, whenever the test runs.
    anchor = datetime(2026, 7, 1, tzinfo=UTC)
    while _offset(anchor) == _offset(in_s(0)):
        anchor -= timedelta(days=30)
    schedule = await create(anchor=anchor, interval_s=5 * 3_600, next_run_at=in_s(0))
    assert schedule.next_due_at is not None
    await set_zone_of_server("SET TimeZone = 'Europe/Berlin'")
    try:
        async with LeadingRunner().opened() as leader:
            [plan], _ = await leader.plan()
    finally:
        await set_zone_of_server("RESET TimeZone")
    assert plan.next_due_at == schedule.next_due_at + timedelta(hours=5)


def _offset(moment: datetime) -> timedelta | None:
    return moment.astimezone(ZoneInfo("Europe/Berlin")).utcoffset()


async def test_four_leaders_create_each_run_once() -> None:
    schedules = [
        await create_overdue(20.5, every_s=1, overlap="allow" if number % 2 else "skip")
        for number in range(20)
    ]
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(LeadingRunner(lookahead_s=10.0).running())

        async def are_ahead() -> bool:
            behind = Schedule.objects.filter(next_due_at__lt=in_s(0))
            return not await behind.aexists() and await Task.objects.acount() >= 10 * 31

        await until(are_ahead, 60)
    for schedule in schedules:
        rows = await runs(schedule)
        await schedule.arefresh_from_db()
        assert sum(row.count for row in rows) == round(
            schedule.next_due_at.timestamp() - schedule.anchor.timestamp()
        )
        assert {row.task_id for row in rows} - {None} == {t.id for t in await tasks(schedule)}


async def test_a_user_change_between_plan_and_statement_voids_the_plan() -> None:
    schedule = await create_overdue(0.5)
    async with LeadingRunner().opened() as leader:
        plans, search = await leader.plan()
        await Schedule.objects.filter(pk=schedule.pk).aupdate(version=1)
        assert await leader.create(plans, search) == 0
    assert (await runs(schedule), await tasks(schedule)) == ([], [])


async def test_a_plan_that_another_leader_has_carried_out_changes_nothing() -> None:
    schedule = await create_overdue(0.5)
    async with LeadingRunner().opened() as frozen, LeadingRunner().opened() as leader:
        plans, search = await frozen.plan()
        assert await leader.create(plans, search) == 1
        assert await frozen.create(plans, search) == 0
    assert await states(schedule) == [("created", 1)]
    assert len(await tasks(schedule)) == 1


async def test_a_plan_of_a_leader_that_was_frozen_is_not_carried_out() -> None:
    schedule = await create_overdue(0.5)
    async with LeadingRunner().opened() as leader:
        [plan], search = await leader.plan()
        stale = plan._replace(valid_until=search.now - timedelta(seconds=1))
        assert await leader.create([stale], search) == 0
    assert await runs(schedule) == []


async def test_runs_that_are_due_shortly_after_each_other_need_no_search_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = [
        await create(next_due_at=in_s(1.9 + after), overlap="skip") for after in (0.0, 0.05)
    ]
    leader = LeadingRunner()
    done: list[int] = []
    search, write = leader.runner._search, leader.runner._writer.create

    async def searched() -> tuple[ScheduleSearch, float]:
        done.append(_SEARCH)
        return await search()

    async def written(plans: Sequence[Plan], found: ScheduleSearch) -> int:
        done.extend(plan.schedule.id for plan in plans)
        return await write(plans, found)

    monkeypatch.setattr(leader.runner, "_search", searched)
    monkeypatch.setattr(leader.runner._writer, "create", written)
    async with leader.running():
        await until(lambda: runs(second))
    assert _SEARCH not in done[done.index(first.pk) : done.index(second.pk)]


async def test_a_changed_schedule_is_noticed_by_a_wake_up() -> None:
    async with LeadingRunner().running() as leader:
        await until(lambda: leader.runner.searches)
        schedule = await create_overdue(0)
        leader.runner.wake()
        await until(lambda: tasks(schedule))


async def test_a_plan_that_postgresql_rejects_does_not_stop_the_others() -> None:
    bad, good = await create_overdue(0.5), await create_overdue(0.5)
    async with LeadingRunner().opened() as leader:
        plans, search = await leader.plan()
        plans = [
            plan._replace(ended_reason="\x00") if plan.schedule.id == bad.pk else plan
            for plan in plans
        ]
        assert await leader.create(plans, search) == 1
        rejected = [plan for plan in plans if leader.runner._writer.is_rejected(plan)]
        assert [plan.schedule.id for plan in rejected] == [bad.pk]
    assert await states(good) == [("created", 1)]
    assert await states(bad) == []


async def test_a_bad_schedule_does_not_stop_the_others() -> None:
    bad = await create_overdue(1, timezone="Nowhere/Nowhere")
    good = await create_overdue(1)
    async with LeadingRunner().running():
        await until(lambda: tasks(good))
        await until(lambda: runs(bad))
    assert await states(bad) == [("refused", 1)]
    await bad.arefresh_from_db()
    assert bad.next_due_at is None
    assert "Nowhere" in bad.ended_reason
