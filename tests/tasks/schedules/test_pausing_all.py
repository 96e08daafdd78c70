"""Test the pause of all schedules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.permissions import RUN_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.schedules import service
from taskmaster.tasks.store import schedule_changes as store
from tests.factories import user_with
from tests.tasks.schedules.sample import ahead, created, left_behind

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def test_a_pause_of_all_names_its_user_and_withdraws_what_has_not_started() -> None:
    user = user_with(VIEW_SCHEDULE, RUN_SCHEDULE)
    assert service.read_state().paused_at is None
    one, other = created(), created()
    for schedule in (one, other):
        ahead(schedule)
    ahead(one, status="started", attempt=1)
    state = service.pause_all("power cut", user=user)
    assert (state.paused_by, state.pause_reason) == (user.username, "power cut")
    assert service.read_state().paused_at == state.paused_at
    withdrawn = ScheduleRun.objects.filter(state="withdrawn")
    assert {run.schedule_id for run in withdrawn} == {one.pk, other.pk}
    assert {run.reason for run in withdrawn} == {
        f"All schedules were paused by {user.username}: power cut"
    }
    assert sorted(Task.objects.values_list("status", flat=True)) == [
        "cancelled", "cancelled", "started"
    ]  # fmt: skip
    assert [each.runs_made for each in Schedule.objects.order_by("pk")] == [1, 0]
    again = service.pause_all("another", user=None)
    assert (again.paused_by, again.pause_reason) == (user.username, "power cut")


def test_after_the_pause_each_schedule_continues_with_its_next_due_time() -> None:
    untouched, passed, withdrawn, paused, full = (created(name=name) for name in "abcde")
    due_at = withdrawn.next_due_at
    assert due_at is not None
    service.pause(paused, "", user=None)
    ahead(withdrawn)
    Schedule.objects.filter(pk=full.pk).update(max_runs=1)
    run, _ = ahead(full)
    Schedule.objects.filter(pk=full.pk).update(
        next_due_at=None, next_run_at=None, ended_at=due_at, ended_reason="full"
    )
    before = Schedule.objects.values().get(pk=untouched.pk)
    service.pause_all("power cut", user=None)
    missed = left_behind(passed, 2)
    left_behind(paused, 2)
    state = service.resume_all(user=None)
    assert (state.paused_at, state.paused_by, state.pause_reason) == (None, "", "")

    assert Schedule.objects.values().get(pk=untouched.pk) == before
    passed.refresh_from_db()
    assert (passed.next_due_at, passed.version) == (missed[-1] + HOUR, 1)
    row = ScheduleRun.objects.get(schedule=passed)
    assert (row.state, row.due_at, row.last_due_at, row.count) == (
        "paused", missed[0], missed[1], 2
    )  # fmt: skip
    assert row.reason.startswith("All schedules are paused since 20")
    withdrawn.refresh_from_db()
    assert withdrawn.next_due_at == due_at
    full.refresh_from_db()
    assert (full.next_due_at, full.ended_at, full.runs_made) == (run.due_at, None, 0)
    paused.refresh_from_db()
    assert paused.paused_at is not None
    assert not ScheduleRun.objects.filter(schedule=paused).exists()
    assert service.resume_all(user=None).paused_at is None


def test_the_last_run_that_jitter_delayed_into_the_pause_is_made_after_it() -> None:
    schedule = created(max_runs=1, jitter_s=600)
    now = store.read_clock()
    run, _ = ahead(schedule, now - timedelta(seconds=5))
    ScheduleRun.objects.filter(pk=run.pk).update(run_at=now + timedelta(seconds=20))
    Schedule.objects.update(next_due_at=None, next_run_at=None, ended_at=now, ended_reason="full")
    service.pause_all("", user=None)
    service.resume_all(user=None)
    schedule.refresh_from_db()
    assert (schedule.runs_made, schedule.ended_at) == (0, None)
    assert schedule.next_due_at is not None


def test_an_edit_during_the_pause_of_all_records_due_times_as_paused() -> None:
    schedule = created()
    service.pause_all("power cut", user=None)
    left_behind(schedule, 2)
    service.update(schedule, {"priority": 1}, user=None)
    run = ScheduleRun.objects.get()
    assert (run.state, run.count) == ("paused", 2)
    assert run.reason.startswith("All schedules are paused since 20")


def test_many_schedules_are_resumed_with_few_statements(
    django_assert_max_num_queries: pytest.FixtureRequest,
) -> None:
    for _ in range(12):
        left_behind(created(), 3)
    service.pause_all("", user=None)
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        service.resume_all(user=None)
    assert ScheduleRun.objects.filter(state="paused", count=3).count() == 12
