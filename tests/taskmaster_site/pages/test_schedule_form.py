"""Test the form of a schedule: creation, changes, errors at their fields, and the preview."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from taskmaster.tasks.models import Schedule
from tests.schedule_rows import nightly
from tests.taskmaster_site.pages.people import client, press, text
from tests.taskmaster_site.pages.test_schedule_list import plain

pytestmark = pytest.mark.django_db

#: Days of next year: a schedule must be due within five years.
YEAR = timezone.now().year + 1
GIVEN = {
    "name": "weekly-report",
    "task": "examples.tasks.add",
    "args": "[1, 2]",
    "trigger": "cron",
    "cron": "30 2 * * sun",
    "timezone": "Europe/Berlin",
}


def editor() -> Client:
    return client("view_schedule", "change_schedule")


def error_of(answer: Any, field: str) -> str:
    found = re.search(rf'id="id_{field}_error">(.*?)</p>', text(answer))
    return plain(found[1]) if found else ""


def test_a_schedule_is_created_and_its_page_follows() -> None:
    answer = editor().post("/schedules/new/", {**GIVEN, "jitter_s": "30", "queue": "reports"})
    schedule = Schedule.objects.get()
    assert answer.headers["Location"] == f"/schedules/{schedule.pk}/"
    assert (schedule.cron, schedule.args, schedule.timezone) == (
        "30 2 * * sun", [1, 2], "Europe/Berlin",
    )  # fmt: skip
    assert (schedule.jitter_s, schedule.queue, schedule.priority) == (30, "reports", None)
    assert schedule.owner is not None
    assert schedule.owner.get_username() == "eve"


def test_an_interval_and_dates_are_read_in_the_units_and_the_zone_of_the_form() -> None:
    browser = editor()
    interval = {**GIVEN, "trigger": "interval", "every": "1.5", "unit": "3600", "catch_up_h": "2"}
    browser.post("/schedules/new/", interval)
    dates = {**GIVEN, "name": "dates", "trigger": "dates", "dates": f"{YEAR}-01-04 06:00\n\n"}
    browser.post("/schedules/new/", dates)
    every, listed = Schedule.objects.order_by("pk")
    assert (every.interval_s, every.catch_up_s, every.cron) == (5_400, 7_200, "")
    assert listed.dates == [datetime(YEAR, 1, 4, 5, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", "", "Must not be empty"),
        ("task", "no.such.task", "no.such.task"),
        ("args", "[1,", "Is not valid JSON"),
        ("args", "{}", "Must be a list"),
        ("args", "[1, 2, 3]", ""),
        ("kwargs", "[]", "Must be an object"),
        ("cron", "30 2 30 2 *", ""),
        ("timezone", "Berlin", "Europe/Berlin"),
        ("max_runs", "0", "must be from 1"),
        ("jitter_s", "x", "Must be a number"),
        ("ends_at", "2001-01-01 00:00", "must be in the future"),
        ("priority", "1.5", "whole number"),
        ("queue", "a b", ""),
    ],
)
def test_an_error_stands_at_its_field_and_nothing_is_stored(
    field: str, value: str, expected: str
) -> None:
    answer = editor().post("/schedules/new/", {**GIVEN, field: value})
    assert answer.status_code == 422
    error = error_of(answer, field)
    assert error
    assert expected in error
    html = text(answer)
    assert 'value="weekly-report"' in html or field == "name"
    assert not Schedule.objects.exists()


def test_a_wrong_interval_and_a_wrong_date_stand_at_the_fields_of_the_form() -> None:
    browser = editor()
    wrong = {**GIVEN, "trigger": "interval", "every": "0.1", "unit": "1"}
    assert "must be from 1" in error_of(browser.post("/schedules/new/", wrong), "every")
    wrong = {**GIVEN, "trigger": "dates", "dates": "tomorrow"}
    assert "tomorrow" in error_of(browser.post("/schedules/new/", wrong), "dates")


def test_a_wrong_option_opens_the_options() -> None:
    browser = editor()
    answer = browser.post("/schedules/new/", {**GIVEN, "max_attempts": "0"})
    assert '<details class="wide" open>' in text(answer)
    assert '<details class="wide">' in text(browser.get("/schedules/new/"))


def test_a_taken_name_is_refused() -> None:
    nightly("weekly-report")
    answer = editor().post("/schedules/new/", GIVEN)
    assert answer.status_code == 422
    assert "weekly-report" in plain(re.search(r'<p class="error.*?</p>', text(answer))[0])  # type: ignore[index]


def test_the_form_of_a_stored_schedule_has_its_values_and_saving_them_changes_nothing() -> None:
    browser = editor()
    given = {
        **GIVEN, "kwargs": "", "skipped_time": "skip", "repeated_time": "both", "missed": "all",
        "missed_max": "7", "catch_up_h": "1.5", "overlap": "queue_one", "max_runs": "9",
        "starts_at": f"{YEAR}-01-01 00:00", "ends_at": f"{YEAR}-12-31 23:59:30", "tags": "a, b",
        "priority": "-3", "timeout_s": "2.5", "on_lost_contact": "stop",
    }  # fmt: skip
    browser.post("/schedules/new/", given)
    schedule = Schedule.objects.get()
    html = text(browser.get(f"/schedules/{schedule.pk}/edit/"))
    fields = dict(
        re.findall(r'<input [^>]*?name="(\w+)"(?! value="cron")[^>]*? value="(.*?)"', html)
    )
    chosen = dict(re.findall(r'<select name="(\w+)".*?<option value="(\w*)" selected>', html, re.S))
    assert fields["starts_at"] == f"{YEAR}-01-01 00:00:00+01:00"
    assert chosen["overlap"] == "queue_one"
    sent = {**fields, **chosen, "args": "[1, 2]", "trigger": "cron"}
    sent.pop("csrfmiddlewaretoken", None)
    answer = browser.post(f"/schedules/{schedule.pk}/edit/", sent)
    assert answer.status_code == 302, plain(text(answer))
    assert Schedule.objects.get().version == schedule.version


def test_a_schedule_is_changed_and_another_trigger_replaces_the_first() -> None:
    schedule = nightly(owner=None)
    browser = editor()
    changed = {**GIVEN, "trigger": "interval", "every": "5", "unit": "60", "version": "0"}
    answer = browser.post(f"/schedules/{schedule.pk}/edit/", changed)
    assert answer.headers["Location"] == f"/schedules/{schedule.pk}/"
    schedule.refresh_from_db()
    assert (schedule.name, schedule.cron, schedule.interval_s) == ("weekly-report", "", 300)


def test_a_change_of_a_version_that_is_no_longer_current_is_refused() -> None:
    schedule = nightly(version=3)
    answer = editor().post(f"/schedules/{schedule.pk}/edit/", {**GIVEN, "version": "2"})
    assert answer.status_code == 422
    schedule.refresh_from_db()
    assert schedule.name == "nightly-backup"


def preview(browser: Client | None = None, /, **fields: str) -> str:
    answer = press(browser or editor(), "/schedules/preview/", **fields)
    assert answer.status_code == 200
    words, _, rest = text(answer).partition("</hx-partial>")
    assert 'hx-target="#when-words"' in words
    return plain(rest)


def test_the_preview_follows_what_is_typed_while_the_rest_is_empty() -> None:
    found = preview(trigger="cron", cron="30 2 * * sun", timezone="Europe/Berlin")
    assert found.startswith("On Sundays at 02:30, Europe/Berlin")
    assert "clocks go forward" in found
    assert "clocks go back" in found
    assert "The next 8" in found


def test_the_preview_describes_an_interval_and_shows_all_of_few_dates() -> None:
    browser = editor()
    found = preview(browser, trigger="interval", every="5", unit="60", timezone="UTC")
    assert found.startswith("Every 5 minutes, UTC")
    found = preview(browser, trigger="dates", dates=f"{YEAR}-01-01 00:00", timezone="UTC")
    assert found.startswith("On one date, UTC")
    assert "All runs" in found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"trigger": "cron", "cron": "30 2 30 2 *"}, "cron"),
        ({"trigger": "interval", "every": "", "unit": "60"}, "interval"),
        ({"trigger": "dates", "dates": ""}, "dates"),
        ({"trigger": "cron", "cron": "x" * 10_000}, "cron"),
        ({}, "cron"),
        ({"trigger": "nonsense", "unit": "x"}, "cron"),
    ],
)
def test_the_preview_names_the_rule_that_is_broken(fields: dict[str, str], expected: str) -> None:
    assert preview(**fields).startswith(expected)


@pytest.mark.parametrize("path", ["new/", "preview/"])
def test_the_form_needs_the_permission_to_change(path: str) -> None:
    browser = client("view_schedule", "run_schedule")
    assert browser.post(f"/schedules/{path}", GIVEN).status_code == 403
    assert not Schedule.objects.exists()
