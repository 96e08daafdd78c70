"""Test the calendar of a schedule: days, outcomes, due times to come, changes of the clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from taskmaster.taskmaster_site.pages.schedule_calendar import CalendarDay, calendar
from taskmaster.tasks.messages import ListedRun
from taskmaster.tasks.queries.schedule_runs import ShownRun, shown
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import CronTrigger, DueTime
from taskmaster.tasks.timing.zones import zone_of

#: A Monday.
NOW = datetime(2027, 3, 22, 8, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def a_shown_run(due_at: datetime, state: str = "created", **fields: Any) -> ShownRun:
    given: dict[str, Any] = {
        "schedule_id": 1, "run_id": 1, "kind": "scheduled", "state": state, "due_at": due_at,
        "last_due_at": None, "times": 1, "run_at": due_at, "reason": "", "user": "",
        "task_id": 7 if state == "created" else None,
        "status": "complete" if state == "created" else None, "attempt": 1, "error": None,
        "scheduled_at": due_at, "started_at": None, "finished_at": None, **fields,
    }  # fmt: skip
    return shown(ListedRun(**given))


def due(cron: str) -> Iterator[DueTime]:
    return Timing(CronTrigger(cron, zone_of(BERLIN))).after(NOW)


def days(*runs: ShownRun, ahead: Iterator[DueTime] | None = None) -> dict[date, CalendarDay]:
    return {each.day: each for each in calendar(runs, ahead or iter(()), BERLIN, NOW)}


def test_the_days_are_whole_weeks_from_five_weeks_ago() -> None:
    found = list(days())
    assert (found[0], found[-1], len(found)) == (date(2027, 2, 15), date(2027, 4, 11), 56)
    assert [day for day, cell in days().items() if cell.is_today] == [date(2027, 3, 22)]


def test_a_run_is_on_its_local_day() -> None:
    cell = days(a_shown_run(datetime(2027, 3, 1, 23, 30, tzinfo=UTC)))[date(2027, 3, 2)]
    assert (cell.kind, cell.text, cell.title) == (
        "complete",
        "complete",
        "02 March 00:30: complete",
    )


def test_a_day_with_several_runs_has_the_colour_of_the_worst() -> None:
    first = datetime(2027, 3, 1, 8, tzinfo=UTC)
    runs = [a_shown_run(first + timedelta(hours=hour)) for hour in range(3)]
    cell = days(*runs, a_shown_run(first, status="failed"))[date(2027, 3, 1)]
    assert (cell.kind, cell.text) == ("failed", "1 failed")
    assert cell.title == "01 March: 3 complete, 1 failed"


def test_a_folded_row_covers_its_days_if_each_has_one() -> None:
    first = datetime(2027, 3, 1, 1, 30, tzinfo=UTC)
    row = a_shown_run(first, "paused", times=3, last_due_at=first + timedelta(days=2))
    found = [cell.day.day for cell in days(row).values() if cell.text == "paused"]
    assert found == [1, 2, 3]
    row = a_shown_run(first, "paused", times=2, last_due_at=first + timedelta(days=7))
    found = [cell.day.day for cell in days(row).values() if cell.text == "paused"]
    assert found == [1, 8]


def test_days_to_come_have_their_time_and_the_change_of_the_clocks() -> None:
    found = days(ahead=due("30 2 * * *"))
    assert (found[date(2027, 3, 23)].text, found[date(2027, 3, 23)].is_ahead) == ("02:30", True)
    changed = found[date(2027, 3, 28)]
    assert (changed.clock, changed.text) == (True, "03:00")
    assert not found[date(2027, 3, 27)].clock
    weekly = days(ahead=due("30 2 * * sun"))
    assert weekly[date(2027, 3, 27)].text == ""


def test_a_frequent_schedule_is_computed_up_to_a_limit() -> None:
    found = days(ahead=due("*/10 * * * *"))
    # 500 due times from 08:00 UTC are the rest of the day, two whole days, and a part of the next.
    texts = [found[date(2027, 3, day)].text for day in (23, 24, 25, 26)]
    assert texts == ["144 runs", "144 runs", "…", "…"]
    assert found[date(2027, 3, 26)].title == "26 March: not counted, only the next 500 runs are"


def test_today_shows_its_runs_and_not_those_to_come() -> None:
    cell = days(a_shown_run(NOW - timedelta(hours=1)), ahead=due("30 * * * *"))[NOW.date()]
    assert cell.text == "complete"
    assert days(ahead=due("30 22 * * *"))[NOW.date()].text == "22:30"
