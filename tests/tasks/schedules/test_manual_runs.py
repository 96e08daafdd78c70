"""Test that users run a schedule now, preview its past due times, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from taskmaster.tasks.errors import Conflict, InvalidField, NotAllowed
from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.permissions import RUN_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.schedules import manual_runs, service
from tests.factories import user_with
from tests.tasks.schedules.sample import a_planner, ahead, created

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
FULL_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def operator() -> User:
    return user_with(VIEW_SCHEDULE, RUN_SCHEDULE)


def past(hours: int) -> datetime:
    """Return a full hour in the past."""
    return FULL_HOUR - hours * HOUR


def hourly(user: User | None = None, **changes: object) -> Schedule:
    """Create a schedule that is due at each full hour."""
    return created(user, interval_s=None, anchor=None, cron="0 * * * *", **changes)


def test_a_manual_run_has_a_task_in_the_name_of_the_owner(operator: User) -> None:
    owner = a_planner()
    schedule = hourly(owner, queue="mail", tags=["a"], timeout_s=7)
    run = service.run_now(schedule, user=operator)
    assert (run.kind, run.state, run.user) == ("manual", "created", operator.username)
    task = Task.objects.get()
    assert (task.pk, task.created_by_id, task.schedule_id) == (run.task_id, owner.pk, schedule.pk)
    assert (task.name, task.args, task.queue) == ("examples.tasks.add", [1, 2], "mail")
    assert (task.tags, task.timeout_s, task.max_attempts, task.status) == (["a"], 7, 3, "pending")
    assert run.due_at == task.scheduled_for
    assert run.run_at == task.scheduled_at <= run.due_at
    before = (schedule.next_due_at, schedule.version, schedule.runs_made)
    schedule.refresh_from_db()
    assert (schedule.next_due_at, schedule.version, schedule.runs_made) == before


def test_a_schedule_that_is_paused_ended_or_running_can_be_run(operator: User) -> None:
    schedule = created(overlap="skip")
    ahead(schedule, status="started", attempt=1)
    service.pause(schedule, "", user=operator)
    assert service.run_now(schedule, user=operator).state == "created"
    Schedule.objects.update(next_due_at=None, next_run_at=None, ended_at=past(0))
    assert service.run_now(schedule, user=operator).state == "created"
    assert Task.objects.filter(status="pending").count() == 2


def test_a_missed_due_time_can_be_run() -> None:
    schedule = hourly()
    for value in (past(3), past(4).isoformat()):
        run = service.run_now(schedule, user=None, due_at=value)
        assert run.due_at == Task.objects.get(pk=run.task_id).scheduled_for
        assert run.due_at in (past(3), past(4))
    odd = past(5) + timedelta(minutes=7)
    with pytest.raises(InvalidField) as caught:
        service.run_now(schedule, user=None, due_at=odd)
    assert str(caught.value) == (
        f"due_at: {odd.isoformat()} is not a due time of the schedule; the next one is "
        f"{past(4).isoformat()}."
    )
    # The timing was another one then.
    ScheduleRun.objects.create(schedule=schedule, due_at=odd, run_at=odd, state="missed")
    assert service.run_now(schedule, user=None, due_at=odd).kind == "manual"


@pytest.mark.parametrize(
    ("due_at", "rule"),
    [
        (past(-48), "is in the future; a run starts now."),
        ("yesterday", "is not a time such as"),
        (7, "must be an ISO 8601 time"),
        ("0001-01-01T00:00:00+14:00", "is out of range"),
        ("1969-12-31T23:59:59Z", "is before 1970"),
    ],
)
def test_a_bad_due_time_is_refused(due_at: datetime, rule: str) -> None:
    with pytest.raises(InvalidField, match="due_at") as caught:
        service.run_now(hourly(), user=None, due_at=due_at)
    assert rule in caught.value.rule
    assert not Task.objects.exists()


def test_a_schedule_that_cannot_run_says_why() -> None:
    owner = a_planner()
    schedule = created(owner)
    Schedule.objects.update(args=[1])
    with pytest.raises(Conflict, match=r"cannot run\. args: missing argument 'b'"):
        service.run_now(schedule, user=None)
    Schedule.objects.update(task="shop.tasks.gone")
    with pytest.raises(Conflict, match=r"cannot run\. task: 'shop\.tasks\.gone' is not"):
        service.run_now(schedule, user=None)
    User.objects.update(is_active=False)
    with pytest.raises(Conflict, match=f"The owner {owner.username} is not active"):
        service.run_now(schedule, user=None)
    User.objects.all().delete()
    with pytest.raises(Conflict, match="The owner was deleted"):
        service.run_now(schedule, user=None)
    assert not Task.objects.exists()
    assert not ScheduleRun.objects.exists()


def test_a_shell_schedule_needs_the_permission_of_the_user_and_of_the_owner(
    operator: User,
) -> None:
    owner = a_planner()
    schedule = hourly(owner, task=None, args=None, command="true")
    with pytest.raises(NotAllowed, match="submit_shell"):
        service.run_now(schedule, user=operator)
    assert service.run_now(schedule, user=a_planner()).task_id
    owner.user_permissions.clear()
    with pytest.raises(Conflict, match="may not submit shell commands"):
        service.run_now(schedule, user=a_planner())


def test_a_preview_stays_within_the_start_of_the_schedule() -> None:
    schedule = hourly(starts_at=past(10).isoformat())
    assert service.preview_backfill(schedule, past(500), past(9)).count == 2


def test_times_without_an_offset_are_local_times_of_the_schedule() -> None:
    schedule = hourly(timezone="Europe/Berlin")
    preview = service.preview_backfill(schedule, "2026-07-01T12:00", "2026-07-01T13:30")
    assert (preview.count, preview.first) == (2, datetime(2026, 7, 1, 10, tzinfo=UTC))


def test_a_range_without_a_due_time_is_previewed() -> None:
    schedule = hourly()
    start, end = past(3) + timedelta(minutes=1), past(3) + timedelta(minutes=2)
    preview = service.preview_backfill(schedule, start, end)
    assert (preview.count, preview.first, preview.last) == (0, None, None)


@pytest.mark.parametrize(
    ("start", "end", "field", "rule"),
    [
        (None, past(1), "start", "is required"),
        (past(1), None, "end", "is required"),
        (past(1), past(2), "end", "is before start"),
        (past(1), past(-48), "end", "is in the future; only past due times can be back-filled."),
        ("2026-01-01", past(1), "start", "has no time of day"),
        ("2026-03-29T02:30", past(1), "start", "does not exist in Europe/Berlin"),
    ],
)
def test_a_bad_range_is_refused(
    start: datetime | None, end: datetime | None, field: str, rule: str
) -> None:
    schedule = hourly(timezone="Europe/Berlin")
    with pytest.raises(InvalidField) as caught:
        service.preview_backfill(schedule, start, end)
    assert (caught.value.field, rule in caught.value.rule) == (field, True)


def test_a_range_of_too_many_due_times_names_the_last_possible_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manual_runs, "BACKFILL_MAX", 5)
    schedule = hourly()
    assert service.preview_backfill(schedule, past(8), past(4)).count == 5
    with pytest.raises(InvalidField) as caught:
        service.preview_backfill(schedule, past(8), past(3))
    assert caught.value.rule == (
        "the range has more than 5 due times, the limit of one back-fill; the last possible end "
        f"is {past(4).isoformat()}."
    )
