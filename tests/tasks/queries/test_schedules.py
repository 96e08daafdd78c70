"""Test the states of schedules, the outcomes of their runs, and the pages of the list."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from taskmaster.tasks.models import Schedule, SchedulerState, Task
from taskmaster.tasks.queries import schedule_runs, schedules
from taskmaster.tasks.store import sync_store
from tests.factories import in_s
from tests.schedule_rows import a_run, nightly

pytestmark = pytest.mark.django_db

#: Fields of a schedule, and its runs as (seconds from now, state, status of the task).
Case = tuple[dict[str, Any], list[tuple[float, str, str]]]

STATES: dict[str, tuple[str, Case]] = {
    "before its first run": ("on time", ({}, [])),
    "its newest run is complete": ("on time", ({}, [(-7_200, "created", "complete")])),
    "its newest run was cancelled": ("on time", ({}, [(-7_200, "created", "cancelled")])),
    "its newest run was skipped": ("on time", ({}, [(-60, "skipped", "")])),
    "its task runs": ("running", ({}, [(-60, "created", "started")])),
    "its task failed": ("failed", ({}, [(-60, "created", "failed")])),
    "an older task failed": (
        "on time",
        ({}, [(-7_200, "created", "failed"), (-60, "created", "complete")]),
    ),
    "it was refused": ("failed", ({}, [(-7_200, "created", "complete"), (-60, "refused", "")])),
    "it was missed": ("late", ({}, [(-7_200, "created", "complete"), (-60, "missed", "")])),
    "its task is due and has not started": ("late", ({}, [(-60, "created", "pending")])),
    "its task has been due for a second": ("on time", ({}, [(-1, "created", "pending")])),
    "no run was created": ("late", ({"next_run_at": in_s(-60)}, [])),
    "a task was created ahead": (
        "failed",
        ({}, [(-300, "created", "failed"), (20, "created", "pending")]),
    ),
    "a withdrawn run does not count": (
        "failed",
        ({}, [(-300, "created", "failed"), (-60, "withdrawn", "cancelled")]),
    ),
    "it is paused": ("paused", ({"paused_at": in_s(-60)}, [(-60, "created", "failed")])),
    "it has ended": (
        "ended",
        (
            {"paused_at": in_s(-60), "ended_at": in_s(-9), "next_run_at": None},
            [(-60, "created", "failed")],
        ),
    ),
}


def stored(case: Case, name: str = "nightly-backup") -> Schedule:
    fields, runs = case
    schedule = nightly(name, **fields)
    for seconds, state, status in runs:
        a_run(schedule, in_s(seconds), state, status)
    return schedule


@pytest.mark.parametrize(("expected", "case"), STATES.values(), ids=STATES.keys())
def test_the_state_follows_from_the_newest_runs(expected: str, case: Case) -> None:
    schedule = stored(case)
    [row] = schedules.read_page().rows
    assert row.state == expected
    assert schedules.read_row(schedule).state == expected


def test_a_retried_task_that_waits_for_its_next_attempt_is_not_late() -> None:
    schedule = nightly()
    run = a_run(schedule, in_s(-300), "created", "pending")
    Task.objects.filter(pk=run.task_id).update(attempt=1)
    assert schedules.read_row(schedule).state == "on time"


def test_while_everything_is_paused_each_schedule_is_paused() -> None:
    nightly()
    SchedulerState.objects.create(paused_at=in_s(-60))
    assert schedules.read_page().counts == {"paused": 1}


def test_a_late_row_has_its_time_and_the_reason_of_its_task() -> None:
    made = nightly("made")
    run = a_run(made, in_s(-60), "created", "pending")
    overdue = nightly("overdue", next_run_at=in_s(-90))
    missed = nightly("missed")
    a_run(missed, in_s(-60), "missed")
    rows = {row.schedule.name: row for row in schedules.read_page().rows}
    assert rows["made"].late_since == run.run_at
    assert "No coordinator seems to be running" in rows["made"].pending_reason
    assert rows["overdue"].late_since == overdue.next_run_at
    assert rows["overdue"].pending_reason == ""
    assert rows["missed"].late_since is None


def test_a_row_shows_the_last_thirty_outcomes_and_a_folded_row_counts_as_several() -> None:
    schedule = nightly()
    now = in_s(0)
    for hour in range(1, 30):
        a_run(schedule, now - timedelta(hours=hour), status="failed" if hour == 1 else "complete")
    a_run(schedule, now - timedelta(hours=40), "paused", count=500, last_due_at=now)
    row = schedules.read_row(schedule)
    assert len(row.runs) == 30
    bars = [run.bar for run in row.outcomes]
    assert bars == ["none"] + ["complete"] * 28 + ["failed"]
    assert schedule_runs.summary(row.outcomes) == "28 complete, 1 failed, 1 did not run"


def test_a_long_pause_fills_the_bars() -> None:
    schedule = nightly()
    a_run(schedule, in_s(-60), "paused", count=500, last_due_at=in_s(-30))
    assert schedule_runs.summary(schedules.read_row(schedule).outcomes) == "30 did not run"


@pytest.mark.parametrize(
    ("state", "status", "kind", "word"),
    [
        ("created", "complete", "complete", "complete"),
        ("created", "started", "running", "running"),
        ("created", "picked", "pending", "pending"),
        ("queued", "", "pending", "queued"),
        ("paused", "", "operator", "paused"),
        ("overlap", "", "cancelled", "overlap"),
        ("outside_window", "", "pending", "missed"),
        ("refused", "", "failed", "refused"),
    ],
)
def test_each_run_has_its_outcome_in_one_word(
    state: str, status: str, kind: str, word: str
) -> None:
    schedule = nightly()
    a_run(schedule, in_s(-60), state, status)
    newest = schedules.read_row(schedule).newest
    assert newest is not None
    assert (newest.kind, newest.word) == (kind, word)


def test_a_run_whose_task_was_deleted_is_not_shown_as_complete() -> None:
    schedule = nightly()
    a_run(schedule, in_s(-60), task_id=987_654)
    newest = schedules.read_row(schedule).newest
    assert newest is not None
    assert (newest.word, newest.bar) == ("task deleted", "none")


def test_a_run_keeps_the_outcome_of_a_task_that_was_deleted_since() -> None:
    schedule = nightly()
    for hour, status in ((3, "complete"), (2, "failed"), (1, "complete")):
        a_run(schedule, in_s(-3_600 * hour), status=status)
    deleted = sync_store.delete_tasks(list(Task.objects.values_list("pk", flat=True)))
    assert len(deleted) == 3
    bars = [run.bar for run in schedules.read_row(schedule).outcomes]
    assert bars == ["complete", "failed", "complete"]
    day = schedule_runs.last_day()
    assert (day.succeeded, day.total) == (2, 3)


def test_the_views_select_by_state_and_count_all() -> None:
    nightly("fine", next_run_at=in_s(60))
    stored(STATES["its task failed"][1], "broken")
    stored(STATES["it is paused"][1], "held")
    stored(STATES["it has ended"][1], "over")
    page = schedules.read_page()
    assert [row.schedule.name for row in page.rows] == ["fine", "broken", "held", "over"]
    assert page.counts == {"on time": 1, "failed": 1, "paused": 1, "ended": 1}
    for view, name in (("failed", "broken"), ("paused", "held"), ("ended", "over")):
        found = schedules.read_page(view)
        assert [row.schedule.name for row in found.rows] == [name]
        assert (found.matching, found.total) == (1, 4)
    assert schedules.read_page("nonsense").matching == 4
    assert [each.name for each in page.named["failed"]] == ["broken"]


@pytest.mark.parametrize(
    ("search", "expected"),
    [("NIGHT", ["nightly-backup"]), ("tasks.a", ["nightly-backup"]), ("%", []), ("_", ["a_b"])],
)
def test_a_search_compares_name_and_task_and_takes_every_character_as_it_is(
    search: str, expected: list[str]
) -> None:
    nightly()
    nightly("a_b", task="shell")
    assert [row.schedule.name for row in schedules.read_page(search=search).rows] == expected


def test_a_page_needs_the_same_number_of_statements_for_any_number_of_rows() -> None:
    for number in range(12):
        stored(STATES["its newest run is complete"][1], f"schedule-{number}")
    counted = []
    for search in ("schedule-11", ""):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            schedules.read_page(search=search)
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 5


def test_the_next_run_may_have_been_created_ahead() -> None:
    schedule = nightly(next_run_at=in_s(3600))
    assert schedules.read_row(schedule).next_at == schedule.next_run_at
    for seconds in (40, 20, -20):
        a_run(schedule, in_s(seconds), status="pending")
    a_run(schedule, in_s(10), "withdrawn")
    [row] = schedules.read_page().rows
    assert row.next_at is not None
    assert abs(row.next_at - in_s(20)).total_seconds() < 15


def test_pages_have_fifty_rows_and_a_number_out_of_range_gives_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedules, "PAGE_ROWS", 2)
    for name in "abc":
        nightly(name, next_run_at=in_s(60 + ord(name)))
    names = [
        [row.schedule.name for row in schedules.read_page(number=number).rows]
        for number in (1, 2, 99, -1)
    ]
    assert names == [["a", "b"], ["c"], ["c"], ["a", "b"]]
