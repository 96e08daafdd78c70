"""Test the answers to why a schedule does not run, and why it did not run at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskmaster.tasks.models import Schedule, SchedulerState
from taskmaster.tasks.queries import schedule_runs, schedules
from taskmaster.tasks.queries.schedule_reason import ScheduleReason, explain_now, explain_time
from taskmaster.tasks.schedules.stored import timing_of
from tests.factories import in_s
from tests.schedule_rows import a_run, nightly

pytestmark = pytest.mark.django_db

DUE = datetime(2026, 3, 17, 1, 30, tzinfo=UTC)


def now(schedule: Schedule, **everything: Any) -> ScheduleReason | None:
    row = schedules.read_row(schedule)
    return explain_now(row, SchedulerState(**everything), in_s(0))


def text(reason: ScheduleReason | None) -> str:
    assert reason is not None
    return " ".join([reason.headline, *reason.facts])


def test_a_schedule_that_is_well_needs_no_answer() -> None:
    schedule = nightly()
    assert now(schedule) is None
    a_run(schedule, in_s(-60), status="complete")
    assert now(schedule) is None


def test_a_pause_names_who_since_when_and_why() -> None:
    schedule = nightly(paused_at=DUE, paused_by="maria", pause_reason="Tax.", timezone="UTC")
    answer = text(now(schedule))
    assert answer.startswith("It is paused: “Tax.” Paused by maria since Tue 17 Mar 2026 01:30.")
    assert "are not made up" in answer


def test_a_pause_of_everything_is_named() -> None:
    schedule = nightly()
    SchedulerState.objects.create(paused_at=DUE, pause_reason="Move")
    answer = text(now(schedule, paused_at=DUE, pause_reason="Move"))
    assert answer.startswith("Every schedule is paused: “Move” Paused by the command line since")


def test_an_ended_one_and_one_before_its_start() -> None:
    ended = nightly(ended_at=DUE, ended_reason="No date is left.", next_run_at=None)
    assert text(now(ended)) == "It has ended. No date is left."
    early = nightly("early", starts_at=in_s(90_000))
    assert text(now(early)).startswith("It has not begun: its start is ")


def test_a_late_one_names_the_reason_of_its_task_or_the_silence_of_the_leader() -> None:
    made = nightly()
    run = a_run(made, in_s(-60), status="pending")
    reason = now(made)
    assert "No coordinator seems to be running" in text(reason)
    assert reason is not None
    assert reason.task_id == run.task_id
    overdue = nightly("overdue", next_run_at=in_s(-60))
    assert "No coordinator has ever searched" in text(now(overdue))
    assert "since Tue 17 Mar 2026 01:30" in text(now(overdue, checked_at=DUE))
    assert "searched" not in text(now(overdue, checked_at=in_s(-5)))


@pytest.mark.parametrize("state", ["missed", "refused", "overlap", "skipped", "paused"])
def test_the_newest_due_time_without_a_run_has_its_stored_reason(state: str) -> None:
    schedule = nightly()
    a_run(schedule, in_s(-60), state, reason="No coordinator led from 02:11 to 02:58 UTC.")
    answer = text(now(schedule))
    assert answer.endswith(f": {state}. No coordinator led from 02:11 to 02:58 UTC.")


def test_a_failed_run_names_its_error_and_its_task() -> None:
    schedule = nightly()
    run = a_run(schedule, in_s(-60), status="failed", errors=[{"message": "no disk"}])
    reason = now(schedule)
    assert text(reason) == "The last run failed: no disk"
    assert reason is not None
    assert reason.task_id == run.task_id


def at(schedule: Schedule, moment: datetime) -> str:
    runs = schedule_runs.newest_runs([schedule.pk]).get(schedule.pk, [])
    return text(explain_time(schedule, timing_of(schedule), runs, moment, in_s(0)))


def test_a_time_with_a_run_gives_its_outcome() -> None:
    schedule = nightly(timezone="Europe/Berlin")
    a_run(schedule, DUE, "missed", reason="No coordinator led.")
    a_run(schedule, DUE - timedelta(days=1), status="complete")
    a_run(
        schedule, DUE - timedelta(days=9), "paused", count=4,
        last_due_at=DUE - timedelta(days=6), reason="By maria.",
    )  # fmt: skip
    expected = "The run due Tue 17 Mar 2026 02:30: missed. No coordinator led."
    assert at(schedule, DUE) == expected
    ran = at(schedule, DUE - timedelta(days=1))
    assert ran == "It ran: the task of Mon 16 Mar 2026 02:30 is complete."
    folded = at(schedule, DUE - timedelta(days=8))
    assert folded.startswith("The 4 runs due from Sun 08 Mar 2026 02:30 to Wed 11 Mar 2026 02:30")


def test_a_time_without_a_run_is_explained_by_the_rules() -> None:
    schedule = nightly(starts_at=in_s(-90_000_000), ends_at=in_s(90_000_000))
    Schedule.objects.update(created_at=in_s(-80_000_000))
    schedule.refresh_from_db()
    tomorrow = in_s(86_400).replace(hour=2, minute=30, second=0, microsecond=0)
    old = DUE.replace(hour=2)
    assert "is before its start" in at(schedule, in_s(-95_000_000))
    assert "is after its end" in at(schedule, in_s(95_000_000))
    assert "did not exist: it was created" in at(schedule, in_s(-85_000_000))
    other = at(schedule, tomorrow - timedelta(minutes=7))
    assert other.startswith("It is not due at")
    assert f"The next due time after it is {tomorrow:%a %d %b %Y} 02:30." in other
    assert at(schedule, tomorrow).startswith("It is due then, at")
    assert "No run of Tue 17 Mar 2026 02:30 is stored." in at(schedule, old)
