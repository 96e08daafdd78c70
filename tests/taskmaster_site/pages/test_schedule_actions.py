"""Test the buttons of the pages of schedules: their effects, errors and permissions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from taskmaster.tasks.models import Operation, Schedule, ScheduleRun, Task
from tests.schedule_rows import a_run, nightly
from tests.taskmaster_site.pages.people import client, press, text
from tests.taskmaster_site.pages.test_schedule_list import plain
from tests.tasks.bulk.sample import run_all

pytestmark = pytest.mark.django_db
CHANGED = "taskmaster:changed"


def operator() -> Client:
    return client("view_schedule", "run_schedule")


def at(schedule: Schedule, verb: str) -> str:
    return f"/schedules/{schedule.pk}/{verb}/"


def last_due() -> datetime:
    """Return the last time at 02:30 UTC."""
    now = timezone.now()
    today = now.replace(hour=2, minute=30, second=0, microsecond=0)
    return today if today < now else today - timedelta(days=1)


def test_run_now_creates_a_task_and_names_it() -> None:
    schedule = nightly()
    answer = press(operator(), at(schedule, "run"))
    task = Task.objects.get()
    assert f"nightly-backup runs now: task {task.pk}." in text(answer)
    assert answer.headers["HX-Trigger"] == CHANGED
    assert ScheduleRun.objects.get().kind == "manual"


def test_run_now_takes_the_due_time_of_a_missed_run() -> None:
    schedule = nightly()
    due = last_due()
    a_run(schedule, due, "missed")
    press(operator(), at(schedule, "run"), due_at=due.isoformat())
    assert Task.objects.get().scheduled_for == due


@pytest.mark.parametrize("due_at", ["x", "2026-02-30T00:00:00Z", "2026-03-01T02:30:00"])
def test_a_wrong_due_time_changes_nothing(due_at: str) -> None:
    answer = press(operator(), at(nightly(), "run"), due_at=due_at)
    assert answer.status_code == 400
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert "due_at: must be a time with a zone" in text(answer)
    assert not Task.objects.exists()


def test_a_schedule_is_paused_with_a_reason_and_resumed() -> None:
    schedule = nightly()
    browser = operator()
    answer = press(browser, at(schedule, "pause"), reason="Tax rates", dialog="pause")
    assert answer.headers["HX-Trigger"] == CHANGED
    assert f'hx-post="{at(schedule, "resume")}"' in text(answer)
    schedule.refresh_from_db()
    assert (schedule.paused_by, schedule.pause_reason) == ("eve", "Tax rates")
    answer = press(browser, at(schedule, "resume"))
    assert "nightly-backup is resumed. It is due next" in text(answer)
    schedule.refresh_from_db()
    assert schedule.paused_at is None


def test_an_error_of_a_dialog_stays_in_the_dialog() -> None:
    schedule = nightly()
    answer = press(operator(), at(schedule, "pause"), reason="x" * 9_000, dialog="pause")
    assert answer.status_code == 400
    assert answer.headers["HX-Retarget"] == "#pause .error"
    assert "reason: " in text(answer)
    schedule.refresh_from_db()
    assert schedule.paused_at is None


def test_only_a_known_dialog_gets_an_error() -> None:
    answer = press(operator(), at(nightly(), "run"), due_at="x", dialog="body")
    assert answer.headers["HX-Retarget"] == "#toasts"


def test_the_next_run_is_skipped() -> None:
    schedule = nightly(next_due_at=last_due() + timedelta(days=1))
    answer = press(operator(), at(schedule, "skip"), reason="The disk is being replaced.")
    assert "nightly-backup skips the run due" in text(answer)
    run = ScheduleRun.objects.get()
    assert (run.state, run.user) == ("skipped", "eve")


def test_a_paused_schedule_skips_nothing() -> None:
    schedule = nightly(paused_at=timezone.now())
    answer = press(operator(), at(schedule, "skip"), reason="x", dialog="skip")
    assert answer.status_code == 409
    assert answer.headers["HX-Retarget"] == "#skip .error"


def test_a_back_fill_is_previewed_followed_and_cancelled() -> None:
    schedule = nightly(timezone="Europe/Berlin")
    browser = operator()
    days = {"start": "2026-03-01T00:00", "end": "2026-03-03T23:59"}
    found = plain(text(press(browser, at(schedule, "backfill/preview"), **days)))
    assert "3 due times, from Sun 01 Mar 02:30 to Tue 03 Mar 02:30." in found
    assert "Create 3 runs" in found
    assert not Task.objects.exists()
    for count, expected_error in (
        ("2", "The range has 3 due times, not 2."),
        ("", "count: is required"),
        ("9" * 99, "count: is required"),
    ):
        refused = press(browser, at(schedule, "backfill"), **days, count=count)
        assert expected_error in text(refused)
    assert not Operation.objects.exists()
    answer = press(browser, at(schedule, "backfill"), **days, count="3")
    assert "nightly-backup: the back-fill of 3 runs has started." in text(answer)
    assert answer.headers["HX-Trigger"] == CHANGED
    shown = backfills(browser, schedule)
    assert "queued Sun 01 Mar 02:30 to Tue 03 Mar 02:30 by eve" in shown
    assert "0 of 3 runs created; waiting for a coordinator Cancel the back-fill" in shown
    operation = run_all(Operation.objects.get())
    shown = backfills(browser, schedule)
    assert "3 of 3 runs created" in shown
    assert "Cancel" not in shown
    first = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
    expected = [first + timedelta(days=day) for day in range(3)]
    assert list(Task.objects.order_by("pk").values_list("scheduled_for", flat=True)) == expected
    cancel = at(schedule, f"backfill/{operation.pk}/cancel")
    refused = press(browser, cancel)
    assert (refused.status_code, "is complete" in text(refused)) == (409, True)
    Operation.objects.update(state="running", done=1, finished_at=None)
    for elsewhere in (
        at(nightly("other"), f"backfill/{operation.pk}/cancel"),
        at(schedule, f"backfill/{10**30}/cancel"),
        f"/schedules/{10**30}/backfill/{operation.pk}/cancel/",
    ):
        assert press(browser, elsewhere).status_code == 404
    assert "cancelled after 1 run." in text(press(browser, cancel))
    assert "cancelled by eve" in backfills(browser, schedule)
    Operation.objects.update(state="failed", error="Schedule <b> was edited.")
    assert "created Schedule &lt;b&gt; was edited." in backfills(browser, schedule)
    Operation.objects.update(finished_at=timezone.now() - timedelta(days=2))
    assert 'class="backfills"' not in text(browser.get(f"/schedules/{schedule.pk}/"))


def backfills(browser: Client, schedule: Schedule) -> str:
    """Return the back-fills that the page of the schedule shows, as text."""
    html = text(browser.get(f"/schedules/{schedule.pk}/"))
    assert ("data-active" in html) == Operation.objects.get().active
    return plain(html.partition('<ul class="backfills">')[2].partition("</ul>")[0])


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-03-01T02:31", "2026-03-01T02:32", "is not due in this range"),
        ("", "", "start: "),
        ("2026-03-02T00:00", "2026-03-01T00:00", "end: 2026-03-01T00:00:00+01:00 is before start"),
        ("2026-03-29T02:30", "2026-03-30T00:00", "does not exist in Europe/Berlin"),
    ],
)
def test_a_back_fill_without_runs_has_no_button(start: str, end: str, expected: str) -> None:
    schedule = nightly(timezone="Europe/Berlin")
    answer = press(operator(), at(schedule, "backfill/preview"), start=start, end=end)
    assert expected in plain(text(answer))
    assert 'class="primary" disabled' in text(answer)


def test_a_schedule_is_deleted_and_the_list_follows() -> None:
    schedule = nightly()
    browser = client("view_schedule", "change_schedule")
    answer = press(browser, at(schedule, "delete"))
    assert answer.headers["HX-Redirect"] == "/schedules/"
    assert not Schedule.objects.exists()


def test_a_schedule_of_code_is_not_deleted() -> None:
    schedule = nightly(source="code")
    answer = press(client("view_schedule", "change_schedule"), at(schedule, "delete"))
    assert answer.status_code == 409
    assert Schedule.objects.exists()


@pytest.mark.parametrize("verb", ["run", "resume", "backfill"])
def test_a_shell_schedule_needs_the_permission_for_shell_commands(verb: str) -> None:
    schedule = nightly(task="shell", args=[], kwargs={"command": "true"})
    days = {"start": "2026-03-01T00:00", "end": "2026-03-03T23:59", "count": "3"}
    answer = press(operator(), at(schedule, verb), **days)
    assert answer.status_code == 403
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("verb", "permissions"),
    [
        *((verb, ("view_schedule", "change_schedule")) for verb in (
            "run", "pause", "resume", "skip", "backfill", "backfill/preview", "backfill/1/cancel",
        )),
        ("delete", ("view_schedule", "run_schedule")),
        ("run", ("run_schedule",)),
    ],
)  # fmt: skip
def test_a_button_needs_its_permission(verb: str, permissions: tuple[str, ...]) -> None:
    schedule = nightly()
    answer: Any = press(client(*permissions), at(schedule, verb), reason="x")
    assert answer.status_code == 403
    schedule.refresh_from_db()
    assert schedule.paused_at is None


def test_buttons_are_posted_and_an_unknown_schedule_is_not_found() -> None:
    browser = operator()
    assert browser.get(at(nightly(), "run")).status_code == 405
    assert press(browser, "/schedules/987654/run/").status_code == 404
