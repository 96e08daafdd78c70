"""Test that edits withdraw what has not started, and that owners, versions and code are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from taskmaster.tasks import conf, permissions
from taskmaster.tasks.errors import Conflict, InvalidField, NotAllowed, VersionChanged
from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.permissions import CHANGE_SCHEDULE, RUN_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.changes import NO_LONGER_DECLARED
from taskmaster.tasks.store import schedule_changes as store
from tests.factories import user_with
from tests.tasks.schedules.sample import a_planner, ahead, created, fields, left_behind

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def test_a_new_schedule_belongs_to_its_creator_and_knows_its_next_due_time() -> None:
    user = a_planner()
    schedule = created(user)
    assert (schedule.owner_id, schedule.source, schedule.version) == (user.pk, "console", 0)
    assert schedule.next_due_at == schedule.next_run_at == schedule.anchor
    assert created(None).owner_id is None


def test_jitter_moves_the_start_and_not_the_due_time() -> None:
    schedule = created(jitter_s=600)
    assert schedule.next_due_at is not None
    assert schedule.next_run_at is not None
    assert timedelta(0) < schedule.next_run_at - schedule.next_due_at < timedelta(minutes=10)


def test_an_edit_withdraws_the_runs_that_have_not_started() -> None:
    user = a_planner()
    schedule = created(user, max_runs=5)
    first_due = schedule.next_due_at
    run, pending = ahead(schedule)
    picked_run, picked = ahead(schedule, status="picked", attempt=0)
    started_run, started = ahead(schedule, status="started", attempt=1)
    retried_run, retried = ahead(schedule, status="pending", attempt=1)
    queued = ScheduleRun.objects.create(
        schedule=schedule, due_at=schedule.next_due_at, run_at=schedule.next_due_at, state="queued"
    )
    Schedule.objects.update(runs_made=5)
    changed = service.update(schedule, {"args": [3, 4]}, user=user)
    reason = f"The schedule was edited by {user.username}."
    for each in (run, picked_run, queued):
        each.refresh_from_db()
        assert (each.state, each.reason, each.settled) == ("withdrawn", reason, True)
    assert set(Task.objects.filter(status="cancelled")) == {pending, picked}
    for each in (started_run, retried_run):
        each.refresh_from_db()
        assert each.state == "created"
    assert Task.objects.get(pk=started.pk).status == "started"
    assert Task.objects.get(pk=retried.pk).status == "pending"
    # Withdrawn runs are not counted, and their due times come again.
    assert (changed.runs_made, changed.next_due_at, changed.version) == (2, first_due, 1)
    assert changed.changed_at > changed.created_at


def test_an_edit_computes_the_next_due_time_from_now_and_records_what_had_no_run() -> None:
    schedule = created()
    due_times = left_behind(schedule, 3)
    next_due_at = due_times[-1] + timedelta(hours=1)
    changed = service.update(schedule, {"priority": 5}, user=None)
    assert changed.next_due_at == next_due_at
    row = ScheduleRun.objects.get()
    assert (row.state, row.count, row.due_at, row.last_due_at) == (
        "missed", 3, due_times[0], due_times[-1]
    )  # fmt: skip
    assert row.reason == "The schedule was edited."


def test_all_due_times_of_a_short_interval_are_counted() -> None:
    schedule = created(interval_s=1, ends_at=(store.read_clock() + HOUR).isoformat())
    now = store.read_clock()
    first = now - timedelta(days=3)
    Schedule.objects.update(anchor=first, next_due_at=first, next_run_at=first)
    service.update(schedule, {"priority": 1}, user=None)
    run = ScheduleRun.objects.get()
    assert run.last_due_at is not None
    assert run.count == (run.last_due_at - first) // timedelta(seconds=1) + 1 > 3 * 86_400
    schedule.refresh_from_db()
    assert schedule.next_due_at == run.last_due_at + timedelta(seconds=1)


def test_a_due_time_that_has_a_run_gets_no_other_one() -> None:
    schedule = created()
    skipped = service.skip_next(schedule, "", user=None)
    changed = service.update(schedule, {"priority": 5}, user=None)
    assert changed.next_due_at == skipped.due_at + timedelta(hours=1)


def test_an_edit_without_a_difference_changes_nothing() -> None:
    given = fields(tags=["a"])
    schedule = service.create(given, user=None)
    ahead(schedule)
    before = Schedule.objects.values().get()
    service.update(schedule, {**given, "overlap": "allow", "queue": None}, user=a_planner())
    assert Schedule.objects.values().get() == before
    assert Task.objects.get().status == "pending"
    changed = service.update(schedule, {"args": [1.0, 2]}, user=None)
    assert repr(changed.args) == "[1.0, 2]"


def test_the_user_who_edits_a_schedule_becomes_its_owner() -> None:
    schedule, other = created(a_planner()), a_planner()
    assert service.update(schedule, {"args": [3, 4]}, user=other).owner_id == other.pk
    assert service.update(schedule, {"args": [5, 6]}, user=None).owner_id == other.pk


def test_an_edit_of_an_old_version_is_refused() -> None:
    schedule = created()
    service.update(schedule, {"priority": 1}, user=None, version=0)
    for change in (
        lambda: service.update(schedule, {"priority": 2}, user=None, version=0),
        lambda: service.delete(schedule, user=None, version=0),
    ):
        with pytest.raises(VersionChanged, match="it has version 1 now, not 0"):
            change()
    assert Schedule.objects.get().priority == 1


def test_a_schedule_of_code_can_be_neither_edited_nor_deleted() -> None:
    schedule = created()
    Schedule.objects.update(source="code", declared_in="shop/tasks.py:12")
    rule = r"is declared in code \(shop/tasks\.py:12\) and cannot be "
    with pytest.raises(Conflict, match=f"{rule}edited here"):
        service.update(schedule, {"priority": 2}, user=None)
    with pytest.raises(Conflict, match=f"{rule}deleted here"):
        service.delete(schedule, user=None)
    assert service.pause(schedule, "", user=None).paused_at
    assert service.resume(schedule, user=None).paused_at is None
    assert service.run_now(schedule, user=None).task_id
    assert service.skip_next(schedule, "", user=None).state == "skipped"


def test_a_schedule_that_code_declares_no_longer_stays_ended_and_can_be_deleted() -> None:
    schedule = created()
    Schedule.objects.update(
        source="code",
        next_due_at=None,
        next_run_at=None,
        ended_at=schedule.created_at,
        ended_reason=NO_LONGER_DECLARED,
    )
    service.pause(schedule, "", user=None)
    assert service.resume(schedule, user=None).next_due_at is None
    with pytest.raises(Conflict, match="no due time left to skip"):
        service.skip_next(schedule, "", user=None)
    with pytest.raises(Conflict, match="cannot be edited"):
        service.update(schedule, {"priority": 1}, user=None)
    service.delete(schedule, user=None)
    assert not Schedule.objects.exists()


def test_a_name_is_unique() -> None:
    created(name="nightly")
    other = created(name="weekly")
    with pytest.raises(Conflict, match="Schedule nightly already exists"):
        created(name="nightly")
    with pytest.raises(Conflict, match="Schedule nightly already exists"):
        service.update(other, {"name": "nightly"}, user=None)
    assert Schedule.objects.get(pk=other.pk).name == "weekly"


def test_a_number_of_runs_that_is_reached_already_is_refused() -> None:
    schedule = created()
    Schedule.objects.update(runs_made=5)
    with pytest.raises(InvalidField, match="max_runs: is 5, but the schedule has made 5 runs"):
        service.update(schedule, {"max_runs": 5}, user=None)
    assert service.update(schedule, {"max_runs": 6}, user=None).max_runs == 6


def test_an_ended_schedule_starts_again_with_more_runs() -> None:
    schedule = created(max_runs=1)
    ahead(schedule, status="complete")
    Schedule.objects.update(
        next_due_at=None, next_run_at=None, ended_at=schedule.created_at, ended_reason="full"
    )
    assert service.update(schedule, {"name": "renamed"}, user=None).ended_at is not None
    changed = service.update(schedule, {"max_runs": 2}, user=None)
    assert (changed.ended_at, changed.ended_reason) == (None, "")
    assert changed.next_due_at is not None


def test_a_deletion_withdraws_what_has_not_started_and_keeps_the_tasks() -> None:
    schedule = created()
    ahead(schedule)
    ahead(schedule, status="started", attempt=1)
    service.delete(schedule, user=None)
    assert not Schedule.objects.exists()
    assert not ScheduleRun.objects.exists()
    assert sorted(Task.objects.values_list("status", flat=True)) == ["cancelled", "started"]


@pytest.mark.parametrize("missing", [VIEW_SCHEDULE, CHANGE_SCHEDULE])
def test_changes_need_two_permissions(missing: str) -> None:
    user = user_with(*({VIEW_SCHEDULE, CHANGE_SCHEDULE, RUN_SCHEDULE} - {missing}))
    schedule = created()
    for change in (
        lambda: service.create({}, user=user),
        lambda: service.preview_new({}, user=user),
        lambda: service.update(schedule, {"unknown": 1}, user=user),
        lambda: service.delete(schedule, user=user),
    ):
        with pytest.raises(NotAllowed, match=missing):
            change()
    assert Schedule.objects.count() == 1


def test_a_shell_schedule_needs_a_permission_of_its_own() -> None:
    user = user_with(VIEW_SCHEDULE, CHANGE_SCHEDULE, RUN_SCHEDULE)
    shell = {"task": None, "args": None, "command": "true"}
    schedule, harmless = created(**shell), created()
    for change in (
        lambda: created(user, **shell),
        lambda: service.update(schedule, {"priority": 1}, user=user),
        lambda: service.update(schedule, {"task": "examples.tasks.add"}, user=user),
        lambda: service.update(harmless, {"command": "true"}, user=user),
    ):
        with pytest.raises(NotAllowed, match="submit_shell"):
            change()


def test_a_shell_schedule_needs_the_setting_on_the_command_line_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = created(task=None, args=None, command="true")
    monkeypatch.setattr(
        permissions, "settings", lambda: replace(conf.settings(), shell_tasks=False)
    )
    for change in (
        lambda: service.update(schedule, {"priority": 1}, user=None),
        lambda: service.run_now(schedule, user=None),
        lambda: service.resume(schedule, user=None),
    ):
        with pytest.raises(NotAllowed, match="shell tasks are switched off"):
            change()
