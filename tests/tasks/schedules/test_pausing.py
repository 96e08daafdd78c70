"""Test that a pause withdraws and records runs, that a resumption continues from now, and skips."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from taskmaster.tasks.bulk import backfill
from taskmaster.tasks.errors import Conflict, InvalidField, NotAllowed, ScheduleNotFound
from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.permissions import CHANGE_SCHEDULE, RUN_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.schedules import service
from taskmaster.tasks.store import schedule_changes as store
from tests.factories import user_with
from tests.tasks.schedules.sample import a_planner, ahead, created, left_behind

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def operator() -> User:
    return user_with(VIEW_SCHEDULE, RUN_SCHEDULE)


def test_a_pause_names_its_user_and_reason_and_withdraws_what_has_not_started(
    operator: User,
) -> None:
    schedule = created()
    run, task = ahead(schedule)
    next_due_at = schedule.next_due_at
    paused = service.pause(schedule, "  data migration ", user=operator)
    assert (paused.paused_by, paused.pause_reason) == (operator.username, "data migration")
    assert paused.paused_at is not None
    assert (paused.version, paused.runs_made) == (1, 0)
    run.refresh_from_db()
    assert run.state == "withdrawn"
    assert run.reason == f"The schedule was paused by {operator.username}: data migration"
    assert Task.objects.get(pk=task.pk).status == "cancelled"
    # The leader goes on recording due times.
    assert paused.next_due_at == next_due_at


def test_a_paused_schedule_is_searched_at_most_once_a_minute() -> None:
    schedule = created(interval_s=1, anchor=None)
    paused = service.pause(schedule, "", user=None)
    assert paused.next_run_at is not None
    assert paused.paused_at is not None
    assert paused.next_run_at - paused.paused_at == timedelta(seconds=60)
    edited = service.update(schedule, {"interval_s": 2}, user=None)
    assert edited.next_run_at is not None
    assert edited.next_run_at - edited.changed_at == timedelta(seconds=60)


def test_a_second_pause_and_a_second_resumption_change_nothing(operator: User) -> None:
    schedule = created()
    service.pause(schedule, "first", user=operator)
    before = Schedule.objects.values().get()
    assert service.pause(schedule, "second", user=a_planner()).pause_reason == "first"
    assert Schedule.objects.values().get() == before
    service.resume(schedule, user=operator)
    before = Schedule.objects.values().get()
    service.resume(schedule, user=operator)
    assert Schedule.objects.values().get() == before


def test_a_resumed_schedule_continues_with_the_first_due_time_after_now(operator: User) -> None:
    schedule = created()
    due_at = schedule.next_due_at
    ahead(schedule)
    service.pause(schedule, "", user=operator)
    resumed = service.resume(schedule, user=operator)
    # The run that was withdrawn is due again, because the pause was short.
    assert resumed.next_due_at == resumed.next_run_at == due_at
    assert resumed.paused_at is None
    assert (resumed.paused_by, resumed.pause_reason, resumed.version) == ("", "", 2)


def test_due_times_that_no_leader_has_recorded_during_the_pause_are_recorded(
    operator: User,
) -> None:
    schedule = created()
    service.pause(schedule, "data migration", user=operator)
    due_times = left_behind(schedule, 2)
    resumed = service.resume(schedule, user=operator)
    row = ScheduleRun.objects.get()
    assert (row.state, row.count, row.due_at) == ("paused", 2, due_times[0])
    assert row.reason.startswith(f"Paused by {operator.username} since 20")
    assert row.reason.endswith(" UTC: data migration")
    assert resumed.next_due_at == due_times[-1] + HOUR


def test_due_times_of_one_pause_are_one_row(operator: User) -> None:
    schedule = created()
    paused = service.pause(schedule, "data migration", user=operator)
    since = f"{paused.paused_at:%Y-%m-%d %H:%M:%S}"
    due_times = left_behind(schedule, 4)
    # The leader has recorded the first two.
    ScheduleRun.objects.create(
        schedule=schedule,
        due_at=due_times[0],
        last_due_at=due_times[1],
        count=2,
        run_at=due_times[0],
        state="paused",
        reason=f"Paused by {operator.username} since {since} UTC: data migration",
    )
    Schedule.objects.update(next_due_at=due_times[2])
    service.resume(schedule, user=operator)
    row = ScheduleRun.objects.get()
    assert (row.count, row.due_at, row.last_due_at) == (4, due_times[0], due_times[3])


def test_an_edit_of_a_paused_schedule_keeps_the_pause(operator: User) -> None:
    schedule = created()
    service.pause(schedule, "", user=operator)
    left_behind(schedule, 1)
    edited = service.update(schedule, {"args": [3, 4]}, user=None)
    assert edited.paused_by == operator.username
    assert ScheduleRun.objects.get().state == "paused"


@pytest.mark.parametrize("gone", ["deactivated", "deleted"])
def test_a_user_who_resumes_a_schedule_without_an_active_owner_becomes_its_owner(
    gone: str, operator: User
) -> None:
    owner, planner = a_planner(), a_planner()
    schedule = created(owner)
    service.pause(schedule, "", user=operator)
    if gone == "deleted":
        owner.delete()
    else:
        User.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(NotAllowed, match=f"becom|owner.*{CHANGE_SCHEDULE}"):
        service.resume(schedule, user=operator)
    assert Schedule.objects.get().paused_at is not None
    assert service.resume(schedule, user=planner).owner_id == planner.pk


def test_resuming_for_an_active_owner_does_not_change_the_owner(operator: User) -> None:
    owner = a_planner()
    schedule = created(owner)
    service.pause(schedule, "", user=operator)
    assert service.resume(schedule, user=operator).owner_id == owner.pk


def test_a_shell_schedule_can_be_paused_but_not_resumed_without_the_permission(
    operator: User,
) -> None:
    schedule = created(task=None, args=None, command="true")
    service.pause(schedule, "", user=operator)
    with pytest.raises(NotAllowed, match="submit_shell"):
        service.resume(schedule, user=operator)


@pytest.mark.parametrize("missing", [VIEW_SCHEDULE, RUN_SCHEDULE])
def test_pauses_need_two_permissions(missing: str) -> None:
    user = user_with(*({VIEW_SCHEDULE, CHANGE_SCHEDULE, RUN_SCHEDULE} - {missing}))
    schedule = created()
    before = Schedule.objects.values().get()
    for change in (
        lambda: service.pause(schedule, "", user=user),
        lambda: service.resume(schedule, user=user),
        lambda: service.skip_next(schedule, "", user=user),
        lambda: service.pause_all("", user=user),
        lambda: service.resume_all(user=user),
        lambda: service.run_now(schedule, user=user),
        lambda: backfill.start(schedule, None, None, user=user),
    ):
        with pytest.raises(NotAllowed, match=missing):
            change()
    assert Schedule.objects.values().get() == before


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        (7, "must be a string, not a number."),
        ("x" * 301, "has 301 characters; the limit is 300."),
        ("a\0b", "U+0000"),
    ],
)
def test_a_bad_reason_is_refused(reason: str, rule: str) -> None:
    schedule = created()
    for change in (
        lambda: service.pause(schedule, reason, user=None),
        lambda: service.skip_next(schedule, reason, user=None),
        lambda: service.pause_all(reason, user=None),
    ):
        with pytest.raises(InvalidField, match="reason") as caught:
            change()
        assert rule in caught.value.rule
    assert Schedule.objects.get().version == 0


def test_a_skip_moves_to_the_due_time_after_it(operator: User) -> None:
    schedule = created()
    due_at = schedule.next_due_at
    assert due_at is not None
    run = service.skip_next(schedule, "holiday", user=operator)
    assert (run.kind, run.state, run.due_at) == ("scheduled", "skipped", due_at)
    assert (run.user, run.task_id) == (operator.username, None)
    assert run.reason == f"Skipped by {operator.username}: holiday"
    again = service.skip_next(schedule, "", user=operator)
    assert again.due_at == due_at + HOUR
    schedule.refresh_from_db()
    assert (schedule.next_due_at, schedule.version) == (due_at + 2 * HOUR, 2)


def test_a_skip_withdraws_only_the_next_run_that_has_not_started() -> None:
    schedule = created(max_runs=3)
    started_run, _ = ahead(schedule, status="started", attempt=1)
    run, task = ahead(schedule)
    later, _ = ahead(schedule)
    Schedule.objects.update(
        next_due_at=None, next_run_at=None, ended_at=schedule.created_at, ended_reason="full"
    )
    skipped = service.skip_next(schedule, "", user=None)
    assert skipped.due_at == run.due_at
    for each, state in ((started_run, "created"), (run, "withdrawn"), (later, "created")):
        each.refresh_from_db()
        assert each.state == state
    assert Task.objects.get(pk=task.pk).status == "cancelled"
    # It has a run left again.
    schedule.refresh_from_db()
    assert (schedule.runs_made, schedule.ended_at) == (2, None)
    assert schedule.next_due_at == later.due_at + HOUR


def test_a_skip_withdraws_the_run_that_jitter_delays() -> None:
    now = store.read_clock()
    schedule = created(jitter_s=3_600)
    run, task = ahead(schedule, now - timedelta(milliseconds=1))
    # A due time before this one belongs to no run.
    Schedule.objects.update(anchor=run.due_at)
    assert service.skip_next(schedule, "", user=None).due_at == run.due_at
    run.refresh_from_db()
    assert (run.state, Task.objects.get(pk=task.pk).status) == ("withdrawn", "cancelled")


def test_nothing_is_skipped_during_a_pause_or_after_the_last_due_time() -> None:
    schedule = created()
    service.pause(schedule, "", user=None)
    with pytest.raises(Conflict, match="is paused"):
        service.skip_next(schedule, "", user=None)
    date = schedule.next_due_at
    last = created(interval_s=None, anchor=None, dates=[date])
    service.skip_next(last, "", user=None)
    last.refresh_from_db()
    assert last.next_due_at is None
    assert last.ended_reason == "No date is left."
    with pytest.raises(Conflict, match="has no due time left to skip"):
        service.skip_next(last, "", user=None)


def test_a_schedule_that_was_deleted_concurrently_is_not_found() -> None:
    schedule = created()
    service.delete(Schedule.objects.get(pk=schedule.pk), user=None)
    for change in (
        lambda: service.update(schedule, {"priority": 1}, user=None),
        lambda: service.delete(schedule, user=None),
        lambda: service.pause(schedule, "", user=None),
        lambda: service.resume(schedule, user=None),
        lambda: service.skip_next(schedule, "", user=None),
        lambda: service.run_now(schedule, user=None),
    ):
        with pytest.raises(ScheduleNotFound, match=f"There is no schedule {schedule.pk}"):
            change()
