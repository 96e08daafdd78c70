"""Test that a back-fill runs each due time of its range once, and ends when it cannot go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.bulk import backfill, runner, service
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.errors import Conflict, InvalidField, NotAllowed, ScheduleNotFound
from taskmaster.tasks.models import Operation, Schedule, ScheduleRun, Task
from taskmaster.tasks.permissions import CHANGE, RUN_SCHEDULE, VIEW, VIEW_SCHEDULE
from taskmaster.tasks.schedules import service as schedules
from taskmaster.tasks.statements import statement
from tests.factories import user_with
from tests.tasks.bulk.sample import in_thread, run_all, wait_for_blocked_session
from tests.tasks.schedules.sample import a_planner, created

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def operator() -> User:
    return user_with(VIEW_SCHEDULE, RUN_SCHEDULE)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHUNK", 10)


def hourly(user: User | None = None, **changes: object) -> Schedule:
    """Create a schedule that is due at each full hour."""
    return created(user, interval_s=None, anchor=None, cron="0 * * * *", **changes)


def started(schedule: Schedule, count: int = 24, user: Any = None) -> Operation:
    """Start the back-fill of this number of due times."""
    return backfill.start(schedule, FIRST, FIRST + (count - 1) * HOUR, user=user)


def due_times() -> list[datetime]:
    """Return the due times of all runs, in the order of their ids."""
    return list(ScheduleRun.objects.order_by("pk").values_list("due_at", flat=True))


def hours(count: int) -> list[datetime]:
    return [FIRST + number * HOUR for number in range(count)]


@pytest.mark.django_db(transaction=True)
def test_a_started_back_fill_waits_for_a_coordinator_and_wakes_it(operator: User) -> None:
    schedule = hourly()
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute(f"LISTEN {service.CHANNEL}")
        operation = started(schedule, user=operator)
        assert list(listener.notifies(timeout=10, stop_after=1))
    assert (operation.state, operation.total, operation.done) == ("queued", 24, 0)
    assert (operation.first_due_at, operation.last_due_at) == (FIRST, FIRST + 23 * HOUR)
    assert (operation.user, operation.created_by_id) == (operator.username, operator.pk)
    assert operation.confirmed_at is not None
    assert operation.intent == f"back-fill 24 runs of schedule {schedule.name}"
    assert not Task.objects.exists()


def test_a_back_fill_creates_one_run_for_each_due_time(operator: User) -> None:
    owner = a_planner()
    schedule = hourly(owner, overlap="skip", jitter_s=60, queue="mail", max_runs=1)
    operation = run_all(started(schedule, user=operator))
    assert (operation.state, operation.done) == ("complete", 24)
    assert operation.outcome == f"back-filled 24 runs of schedule {schedule.name}"
    runs = ScheduleRun.objects.order_by("due_at")
    assert [run.due_at for run in runs] == hours(24)
    assert {(run.kind, run.state, run.user) for run in runs} == {
        ("backfill", "created", operator.username)
    }
    tasks = Task.objects.in_bulk([run.task_id for run in runs])
    assert [tasks[run.task_id].scheduled_for for run in runs] == [run.due_at for run in runs]
    # They are claimed in the order of their due times.
    ordered = sorted(tasks.values(), key=lambda task: (task.scheduled_at, task.pk))
    assert [task.pk for task in ordered] == [run.task_id for run in runs]
    assert {(task.queue, task.created_by_id) for task in ordered} == {("mail", owner.pk)}
    # Another back-fill runs them again.
    assert run_all(started(schedule, 2)).done == 2
    assert Task.objects.count() == 26


@pytest.mark.parametrize(
    ("count", "steps"),
    [
        (1, [(1, "complete")]),
        (10, [(10, "complete")]),
        (20, [(10, "running"), (20, "complete")]),
        (25, [(10, "running"), (20, "running"), (25, "complete")]),
    ],
)
def test_the_runs_are_created_in_chunks(count: int, steps: list[tuple[int, str]]) -> None:
    schedule = hourly(a_planner())
    operation, seen = started(schedule, count), []
    while len(seen) <= len(steps) and (chunk := run_chunk()) is not None:
        operation.refresh_from_db()
        seen.append((operation.done, operation.state))
        assert chunk.schedule == schedule.name
        assert operation.created_until == FIRST + (operation.done - 1) * HOUR
    assert seen == steps
    assert due_times() == hours(count)


@pytest.mark.django_db(transaction=True)
def test_a_chunk_that_fails_after_its_runs_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operation = started(hourly())
    run_chunk()
    save = Operation.save

    def fail(self: Operation, **options: Any) -> None:
        assert ScheduleRun.objects.count() == 20
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(Operation, "save", fail)
    with pytest.raises(OperationalError):
        run_chunk()
    assert due_times() == hours(10)
    monkeypatch.setattr(Operation, "save", save)
    assert run_all(operation).done == 24
    assert due_times() == hours(24)
    assert Task.objects.count() == 24


def test_a_cancelled_back_fill_creates_nothing_more(operator: User) -> None:
    operation = started(hourly())
    run_chunk()
    for user in (user_with(VIEW_SCHEDULE, VIEW, CHANGE), user_with(RUN_SCHEDULE, VIEW, CHANGE)):
        with pytest.raises(NotAllowed, match="_schedule"):
            service.cancel(operation.pk, user)
    cancelled = service.cancel(operation.pk, operator)
    assert (cancelled.state, cancelled.cancelled_by) == ("cancelled", operator.username)
    assert run_chunk() is None
    assert due_times() == hours(10)


def edited(schedule: Schedule) -> None:
    schedules.update(schedule, {"cron": "30 * * * *"}, user=None)


def with_other_arguments(schedule: Schedule) -> None:
    schedules.update(schedule, {"args": [3, 4]}, user=None)


def deleted(schedule: Schedule) -> None:
    schedules.delete(schedule, user=None)


def owner_left(schedule: Schedule) -> None:
    User.objects.filter(pk=schedule.owner_id).update(is_active=False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (edited, "was edited after the back-fill was started. The runs that were created stay"),
        (with_other_arguments, "was edited after the back-fill was started."),
        (deleted, "was deleted."),
        (owner_left, "is not active. Edit it to become its owner."),
    ],
)
def test_a_back_fill_ends_when_its_schedule_cannot_run_as_confirmed(
    change: Callable[[Schedule], None], error: str
) -> None:
    schedule = hourly(a_planner())
    operation = started(schedule)
    run_chunk()
    change(schedule)
    chunk = run_chunk()
    assert chunk is not None
    assert chunk.ended is not None
    operation.refresh_from_db()
    assert (operation.state, operation.done) == ("failed", 10)
    assert schedule.name in operation.error
    assert error in operation.error
    assert Task.objects.count() == 10
    # Readers of events need no permission to view schedules.
    name = schedule.name
    assert chunk.ended.kind == "schedule"
    assert chunk.ended.text == (
        f"bulk operation failed after it back-filled 10 runs of schedule {name}"
    )
    assert run_chunk() is None


def test_a_back_fill_ends_when_its_arguments_do_not_fit_any_more() -> None:
    schedule = hourly()
    operation = started(schedule)
    run_chunk()
    Schedule.objects.update(args=[1])
    schedule.refresh_from_db()
    # The schedule is the confirmed one, as after a change of the code.
    Operation.objects.update(schedule_digest=backfill.digest(schedule))
    assert run_all(operation).state == "failed"
    assert "cannot run. args: missing argument 'b'" in operation.error
    assert due_times() == hours(10)


def test_a_back_fill_ends_when_its_user_may_not_run_the_schedule_any_more(operator: User) -> None:
    removed, gone = started(hourly(), user=operator), user_with(VIEW_SCHEDULE, RUN_SCHEDULE)
    orphaned = started(hourly(), user=gone)
    operator.user_permissions.clear()
    gone.delete()
    for operation, error in (
        (removed, f"{operator.username} may not run schedule {removed.schedule_name}. This needs"),
        (orphaned, f"The user {orphaned.user} no longer exists."),
    ):
        assert error in run_all(operation).error
        assert operation.state == "failed"
    assert not Task.objects.exists()


def test_a_back_fill_goes_on_after_a_change_that_does_not_concern_it() -> None:
    schedule = hourly()
    operation = started(schedule)
    run_chunk()
    schedules.pause(schedule, "", user=None)
    schedules.update(schedule, {"name": "renamed", "overlap": "skip", "jitter_s": 5}, user=None)
    assert run_all(operation).state == "complete"
    assert due_times() == hours(24)


@pytest.mark.django_db(transaction=True)
def test_a_deletion_waits_for_the_running_chunk_and_other_changes_do_not() -> None:
    schedule = hourly()
    operation = started(schedule, 5)
    with psycopg.connect(conninfo()) as chunk:
        chunk.execute(statement("keep_schedule"), {"schedule_id": schedule.pk})
        chunk.execute(
            "INSERT INTO taskmaster_tasks_schedulerun (schedule_id, due_at, run_at, state) "
            "VALUES (%s, now(), now(), 'created')",
            [schedule.pk],
        )
        schedules.pause(schedule, "", user=None)
        deleting = threading.Thread(target=in_thread, args=(lambda: deleted(schedule),))
        deleting.start()
        wait_for_blocked_session()
        chunk.commit()
        deleting.join()
    assert not Schedule.objects.exists()
    assert not ScheduleRun.objects.exists()
    assert "was deleted." in run_all(operation).error


@pytest.mark.parametrize(
    ("start", "end", "field", "rule"),
    [
        (None, FIRST, "start", "is required"),
        (FIRST, FIRST - HOUR, "end", "is before start"),
        (FIRST, "2099-01-01T00:00:00Z", "end", "is in the future"),
        ("2020-01-01T00:00:00Z", FIRST, "end", "more than 40 due times"),
        ("2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z", "end", "the range has no due time"),
    ],
)
def test_a_bad_range_starts_nothing(
    start: Any, end: Any, field: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmaster.tasks.schedules.manual_runs.BACKFILL_MAX", 40)
    with pytest.raises(InvalidField) as caught:
        backfill.start(hourly(), start, end, user=None)
    assert (caught.value.field, rule in caught.value.rule) == (field, True)
    assert not Operation.objects.exists()


def test_a_schedule_that_cannot_run_starts_nothing(operator: User) -> None:
    schedule = hourly(a_planner())
    command = hourly(a_planner(), task=None, args=None, command="true")
    with pytest.raises(NotAllowed, match="submit_shell"):
        started(command, user=operator)
    Schedule.objects.filter(pk=schedule.pk).update(args=[1])
    with pytest.raises(Conflict, match=r"cannot run\. args: missing argument 'b'"):
        started(schedule)
    User.objects.update(is_active=False)
    with pytest.raises(Conflict, match="is not active"):
        started(schedule)
    Schedule.objects.filter(pk=schedule.pk).delete()
    with pytest.raises(ScheduleNotFound):
        started(schedule)
    assert not Operation.objects.exists()
