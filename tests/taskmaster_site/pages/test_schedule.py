"""Test the page of a schedule: its rules, the calendar, the next runs, the history and buttons."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from taskmaster.tasks.models import Schedule
from tests.factories import in_s
from tests.schedule_rows import a_run, nightly
from tests.taskmaster_site.pages.people import client, text
from tests.taskmaster_site.pages.test_schedule_list import plain

pytestmark = pytest.mark.django_db


def page(schedule: Schedule, browser: Client | None = None, query: str = "") -> str:
    return text((browser or client("view_schedule")).get(f"/schedules/{schedule.pk}/{query}"))


def section(html: str, title: str) -> str:
    """Return the card with this title."""
    return next(part for part in html.split("<section")[1:] if f"<h2>{title}" in part)


def test_the_head_has_words_next_run_and_rules() -> None:
    due = datetime(2099, 3, 1, 1, 30, tzinfo=UTC)
    schedule = nightly(
        timezone="Europe/Berlin", next_due_at=due, next_run_at=due, overlap="queue_one",
        missed="all", missed_max=7, jitter_s=30, queue="reports", max_runs=9, runs_made=4,
        args=[], kwargs={"warehouse": "north"},
    )  # fmt: skip
    html = page(schedule)
    head = plain(html.partition("schedule-head")[2].partition("</section>")[0])
    assert "Every day at 02:30, Europe/Berlin." in head
    assert "Next: Sun 01 Mar 02:30, in" in head
    chips = dict(re.findall(r"<li><span>(.*?)</span><b[^>]*>(.*?)</b></li>", html))
    assert chips == {
        "cron": "30 2 * * *",
        "zone": "Europe/Berlin",
        "task": "examples.tasks.add",
        "overlap": "queue one",
        "missed": "up to 7, within 1 d",
        "skipped time": "as cron",
        "repeated time": "as cron",
        "jitter": "up to 30.0 s",
        "runs": "4 of 9",
        "queue": "reports",
        "owner": "none",
    }
    assert "&quot;warehouse&quot;: &quot;north&quot;" in html


def test_a_schedule_of_code_names_its_declaration_and_cannot_be_edited() -> None:
    schedule = nightly(source="code", declared_in="shop/tasks.py:12")
    browser = client("view_schedule", "change_schedule", "run_schedule")
    html = page(schedule, browser)
    assert "shop/tasks.py:12" in html
    assert "Run now" in html
    assert "Edit" not in html
    assert "Delete" not in html
    assert (
        browser.get(f"/schedules/{schedule.pk}/edit/")
        .headers["Location"]
        .endswith(f"/schedules/{schedule.pk}/")
    )


def test_the_next_twenty_runs_name_the_change_of_the_clocks() -> None:
    dates = [datetime(2099, 1, day, 12, tzinfo=UTC) for day in range(1, 26)]
    browser = client("view_schedule")
    schedule = nightly(trigger="dates", cron="", dates=dates)
    html = section(page(schedule, browser), "The next twenty runs")
    assert html.count("<li") == 20
    assert "Thu 1 Jan 2099" in plain(html)
    html = section(
        page(nightly("berlin", timezone="Europe/Berlin"), browser), "The next twenty runs"
    )
    assert html.count('class="clock"') >= 2
    for part in ("clocks go forward", "clocks go back", "02:30 does not exist on this day."):
        assert part in html


def test_a_skipped_due_time_is_marked_among_the_next_runs() -> None:
    due = datetime(2099, 1, 1, 12, tzinfo=UTC)
    schedule = nightly(trigger="dates", cron="", dates=[due, due + timedelta(days=1)])
    a_run(schedule, due, "skipped", reason="The disk is being replaced.")
    html = section(page(schedule), "The next twenty runs")
    assert html.count("skipped</span>") == 1


def test_a_limit_of_runs_limits_the_next_runs() -> None:
    html = section(page(nightly(max_runs=5, runs_made=2)), "The next twenty runs")
    assert html.count("<li") - html.count("clocks go") == 3


def test_the_history_has_outcomes_reasons_and_run_times() -> None:
    schedule = nightly()
    made = a_run(schedule, in_s(-60), status="complete")
    a_run(schedule, in_s(-120), status="failed", errors=[{"message": "no disk"}])
    a_run(schedule, in_s(-180), "missed", reason="No coordinator led.")
    a_run(schedule, in_s(-9_000), "paused", count=40, last_due_at=in_s(-240), reason="By maria.")
    a_run(schedule, in_s(-9_900), kind="manual", user="jonas", status="started")
    html = section(page(schedule), "History")
    rows = [plain(row) for row in re.findall(r'<li id="run-\d+">(.*?)</li>', html, re.S)]
    for row, parts in zip(
        rows,
        (
            ("complete", str(made.task_id), "1 min 30 s"),
            ("failed", "no disk"),
            ("missed", "No coordinator led."),
            ("paused × 40", " to ", "By maria."),
            ("running", "manual by jonas"),
        ),
        strict=True,
    ):
        for part in parts:
            assert part in row, (part, row)
    assert "Run it now" not in html


def test_a_late_start_is_noted() -> None:
    schedule = nightly()
    run = a_run(schedule, in_s(-60), status="complete")
    run.run_at -= timedelta(seconds=3)
    run.save()
    assert "Started 3.0 s late." in section(page(schedule), "History")


def test_a_user_who_may_run_can_make_up_what_did_not_run() -> None:
    schedule = nightly()
    missed = a_run(schedule, in_s(-60), "missed")
    a_run(schedule, in_s(-90), "paused", count=3, last_due_at=in_s(-80))
    a_run(schedule, in_s(-120), "queued")
    html = page(schedule, client("view_schedule", "run_schedule"))
    assert html.count(">Run it now<") == 1
    choices = re.findall(r'<option value="([^"]*)"', html.partition('id="run-due"')[2])
    assert choices == ["", missed.due_at.isoformat()]


def test_the_history_has_pages_of_twenty() -> None:
    schedule = nightly()
    for hour in range(1, 24):
        a_run(schedule, in_s(-3_600 * hour), "missed")
    browser = client("view_schedule")
    first, second = (page(schedule, browser, query) for query in ("", "?page=2"))
    assert first.count('<li id="run-') == 20
    assert second.count('<li id="run-') == 3
    assert 'rel="next" href="?page=2"' in first
    assert 'rel="prev" href="?page=1"' in second


def test_the_calendar_shows_past_outcomes_and_times_to_come() -> None:
    schedule = nightly()
    today = timezone.now().replace(hour=0, minute=0, second=30, microsecond=0)
    a_run(schedule, today - timedelta(days=1), status="complete")
    a_run(schedule, today - timedelta(days=2), status="failed")
    html = section(page(schedule), "Calendar")
    cells = re.findall(r"<li class=\"([^\"]*)\"[^>]*><b>", html)
    assert len(cells) == 56
    at = next(index for index, each in enumerate(cells) if "today" in each)
    assert cells[at - 1] == "complete"
    assert cells[at - 2] == "failed"
    assert set(cells[at + 1 :]) == {"next"}
    assert html.count("<em>02:30</em>") >= 14


def test_run_times_are_drawn_with_the_last_one_in_words() -> None:
    schedule = nightly()
    browser = client("view_schedule")
    assert "<h2>Run time" not in page(schedule, browser)
    a_run(schedule, in_s(-60), status="complete")
    html = section(page(schedule, browser), "Run time")
    assert "last <b>1 min 30 s</b>" in html
    assert html.count("<rect") == 1


def test_the_page_answers_why_it_did_not_run_at_a_time() -> None:
    schedule = nightly(timezone="Europe/Berlin")
    due = datetime(2026, 3, 17, 1, 30, tzinfo=UTC)
    a_run(schedule, due, "missed", reason="No coordinator led from 01:11 to 01:58 UTC.")
    browser = client("view_schedule")
    html = plain(page(schedule, browser, "?at=2026-03-17T02:30"))
    assert "The run due Tue 17 Mar 2026 02:30: missed. No coordinator led from 01:11" in html
    assert "at: &#x27;x&#x27; is not a time" in page(schedule, browser, "?at=x")


def test_the_reason_why_it_does_not_run_stands_first() -> None:
    schedule = nightly(
        paused_at=in_s(-60), paused_by="maria", pause_reason="The owner is inactive."
    )
    html = page(schedule)
    assert 'class="card answer operator"' in html
    assert "It is paused: “The owner is inactive.”" in html
    assert "Paused by maria since" in html


@pytest.mark.parametrize(
    ("permissions", "shown"),
    [
        ((), set()),
        (("run_schedule",), {"ask-run", "ask-pause", "ask-skip", "ask-backfill"}),
        (("change_schedule",), {"delete"}),
    ],
)
def test_the_page_has_the_buttons_that_the_user_may_press(
    permissions: tuple[str, ...], shown: set[str]
) -> None:
    html = page(nightly(), client("view_schedule", *permissions))
    found = set(re.findall(r'<button type="button" id="([a-z-]+)"', html))
    assert found & {"ask-run", "ask-pause", "ask-skip", "ask-backfill", "delete"} == shown
    assert ('<dialog id="pause"' in html) == ("ask-pause" in shown)


def test_a_script_gets_only_the_part_that_changes() -> None:
    schedule = nightly()
    answer = client("view_schedule").get(
        f"/schedules/{schedule.pk}/", headers={"HX-Request": "true"}
    )
    assert "<html" not in text(answer)
    assert 'id="schedule-head"' in text(answer)


@pytest.mark.parametrize("number", [1, 2**63, 10**30])
def test_an_unknown_id_is_not_found(number: int) -> None:
    assert client("view_schedule").get(f"/schedules/{number}/").status_code == 404
