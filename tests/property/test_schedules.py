"""Test that each due time has one row and each task a row, whatever happens to a schedule.

The clock of the database cannot be changed. A step that lets time pass therefore moves all stored
times into the past, and those of plans that a coordinator has not stored yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun, Task
from taskmaster.tasks.schedule_messages import Plan, ScheduleSearch
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.schedules.submissions import SubmissionCache
from tests.coordinator.schedules.sample import LeadingRunner, database_now
from tests.factories import a_schedule

pytestmark = pytest.mark.django_db(transaction=True)

EVERY_S = (5, 20, 60)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from((1, 7, 30, 61, 90, 300, 5_000))),
        st.tuples(st.just("set back"), st.sampled_from((10, 100))),
        st.tuples(st.just("create"), st.sampled_from((0, 1))),
        st.tuples(st.just("create concurrently"), st.just(0)),
        st.tuples(st.just("plan"), st.sampled_from((0, 1))),
        st.tuples(st.just("store plan"), st.just(0)),
        st.tuples(st.just("crash"), st.sampled_from((0, 1, 3))),
        st.tuples(st.just("edit"), st.sampled_from(EVERY_S)),
        st.tuples(st.sampled_from(("pause", "resume", "pause all", "resume all")), st.just(0)),
        st.tuples(st.just("end tasks"), st.just(0)),
    ),
    min_size=4,
    max_size=30,
)
OPTIONS = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(("allow", "skip", "queue_one", "cancel_running")),
        "missed": st.sampled_from(("skip", "latest", "all")),
        "missed_max": st.sampled_from((1, 3)),
        "catch_up_s": st.sampled_from((100.0, 86_400.0)),
        "max_runs": st.sampled_from((None, None, 4)),
    }
)
_TIMES = """
    UPDATE taskmaster_tasks_schedule SET next_due_at = next_due_at - %(by)s::interval,
        next_run_at = next_run_at - %(by)s::interval, anchor = anchor - %(by)s::interval,
        paused_at = paused_at - %(by)s::interval;
    -- In two steps, since the unique index is checked row by row.
    UPDATE taskmaster_tasks_schedulerun SET due_at = due_at + interval '100000 days';
    UPDATE taskmaster_tasks_schedulerun
    SET due_at = due_at - interval '100000 days' - %(by)s::interval,
        last_due_at = last_due_at - %(by)s::interval, run_at = run_at - %(by)s::interval;
    UPDATE taskmaster_tasks_task SET scheduled_at = scheduled_at - %(by)s::interval,
        scheduled_for = scheduled_for - %(by)s::interval;
    UPDATE taskmaster_tasks_schedulerstate SET checked_at = checked_at - %(by)s::interval,
        paused_at = paused_at - %(by)s::interval
"""


def earlier(value: Any, by: timedelta) -> Any:
    """Return a message with all its times moved into the past."""
    if isinstance(value, datetime):
        return value - by
    if isinstance(value, tuple | list):
        moved = [earlier(each, by) for each in value]
        return value._make(moved) if hasattr(value, "_make") else type(value)(moved)
    return value


class ScheduleModel:
    """A schedule, two coordinators that both believe to lead, and what must be stored.

    `expected` is the number of due times that must have a row. It grows when an edit or a resume
    lets the schedule continue from the present.
    """

    def __init__(self, loop: asyncio.Runner, leaders: list[LeadingRunner], **options: Any) -> None:
        self.loop = loop
        self.leaders = leaders
        due_at = database_now() + timedelta(seconds=10)
        self.schedule = a_schedule(anchor=due_at, interval_s=5, next_due_at=due_at, **options)
        self.since: datetime | None = due_at
        self.expected = 0
        self.plan: tuple[list[Plan], ScheduleSearch] | None = None

    def take(self, step: str, value: int) -> None:
        """Take one step."""
        run = self.loop.run
        match step:
            case "pass":
                self._move(timedelta(seconds=value))
            case "set back":
                self._move(timedelta(seconds=-value))
            case "create":
                run(self.leaders[value].step())
            case "create concurrently":
                run(self._create_concurrently())
            case "plan":
                self.plan = run(self.leaders[value].plan())
            case "store plan" if self.plan is not None:
                run(self.leaders[0].create(*self.plan))
            case "crash":
                run(self._crash(value / 1_000))
            case "edit":
                self._change(anchor=database_now(), interval_s=value)
            case "pause":
                self._withdraw()
                Schedule.objects.update(paused_at=database_now(), version=F("version") + 1)
            case "resume":
                self._change(paused_at=None)
            case "pause all":
                SchedulerState.objects.update(paused_at=database_now())
            case "resume all":
                SchedulerState.objects.update(paused_at=None)
            case "end tasks":
                Task.objects.filter(status="pending").update(status="complete")

    def _move(self, by: timedelta) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_TIMES, {"by": by})
        self.plan = earlier(self.plan, by)
        self.since = earlier(self.since, by)
        for leader in self.leaders:
            # The kept timings have the anchor of before.
            leader.runner._planner._submissions = SubmissionCache()

    async def _create_concurrently(self) -> None:
        await asyncio.gather(*(leader.step() for leader in self.leaders))

    async def _crash(self, after_s: float) -> None:
        """End a coordinator in the middle of an iteration."""
        step = asyncio.create_task(self.leaders[0].step())
        await asyncio.sleep(after_s)
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)

    def _change(self, **fields: Any) -> None:
        """Change the schedule as a user does: it continues from now."""
        self._end_segment(self._withdraw())
        Schedule.objects.update(**fields, version=F("version") + 1)
        self.schedule.refresh_from_db()
        due = timing_of(self.schedule).next_after(database_now())
        assert due is not None
        self.since = due.at
        Schedule.objects.update(next_due_at=due.at, next_run_at=due.at)

    def _withdraw(self) -> datetime | None:
        """Withdraw the runs that are not due. Return the due time of the first one, if any."""
        own = ScheduleRun.objects.filter(due_at__gt=database_now(), task_id__isnull=False)
        rows = own.exclude(state="withdrawn").order_by("due_at")
        first = rows.first()
        ids = [row.task_id for row in rows]
        Task.objects.filter(pk__in=ids).update(status="cancelled")
        ScheduleRun.objects.filter(task_id__in=ids).update(state="withdrawn")
        if first is None:
            return None
        # Without them, the schedule continues with the first one.
        Schedule.objects.update(
            next_due_at=first.due_at,
            next_run_at=first.due_at,
            runs_made=F("runs_made") - len(ids),
        )
        return first.due_at

    def _end_segment(self, until: datetime | None) -> None:
        """Count the due times that must have rows up to the next one."""
        self.schedule.refresh_from_db()
        until = until or self.schedule.next_due_at
        assert self.since is not None
        if until is None:
            last = ScheduleRun.objects.exclude(state="withdrawn").order_by("due_at").last()
            if last is None:
                return
            until = (last.last_due_at or last.due_at) + timedelta(seconds=1)
        for due in timing_of(self.schedule).after(self.since - timedelta(microseconds=1)):
            if due.at >= until:
                return
            self.expected += 1

    def check(self) -> None:
        """Compare the rows with the model."""
        self._end_segment(None)
        rows = list(ScheduleRun.objects.exclude(state="withdrawn").order_by("due_at"))
        assert sum(row.count for row in rows) == self.expected
        for row, following in pairwise(rows):
            assert (row.last_due_at or row.due_at) < following.due_at
        created = {row.task_id for row in rows if row.state == "created"}
        withdrawn = ScheduleRun.objects.filter(state="withdrawn")
        known = created | set(withdrawn.values_list("task_id", flat=True))
        assert set(Task.objects.values_list("id", flat=True)) == known
        assert None not in created
        for row in rows:
            assert (row.task_id is None) == (row.state != "created")
            assert row.reason or row.state == "created"
        assert sum(row.state == "queued" for row in rows) <= 1
        for task in Task.objects.filter(pk__in=created):
            assert task.scheduled_for == ScheduleRun.objects.get(task_id=task.pk).due_at


@contextmanager
def two_leaders() -> Iterator[tuple[asyncio.Runner, list[LeadingRunner]]]:
    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        leaders = [loop.run(stack.enter_async_context(LeadingRunner().opened())) for _ in range(2)]
        try:
            yield loop, leaders
        finally:
            loop.run(stack.aclose())


def explore(examples: int) -> None:
    """Take random steps in a number of examples, and compare with the model after each."""
    with two_leaders() as (loop, leaders):

        @settings(max_examples=examples)
        @given(STEPS, OPTIONS)
        def example(steps: list[tuple[str, int]], options: dict[str, Any]) -> None:
            for model in (ScheduleRun, Schedule, Task):
                model.objects.all().delete()
            SchedulerState.objects.update_or_create(defaults={"paused_at": None})
            found = ScheduleModel(loop, leaders, **options)
            for step in steps:
                found.take(*step)
            found.check()

        example()


def test_each_due_time_has_one_row_and_each_task_has_a_row() -> None:
    explore(25)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_each_due_time_has_one_row_in_many_examples() -> None:
    explore(1_000)
