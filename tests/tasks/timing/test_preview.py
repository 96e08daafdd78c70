"""Test that the preview has the next due times, and explains what changes of the clocks do."""

from __future__ import annotations

from datetime import datetime

import pytest

from taskmaster.tasks.timing.local_time import ClockChange
from taskmaster.tasks.timing.parse import parse_timing
from taskmaster.tasks.timing.preview import Preview, PreviewRow, preview
from tests.tasks.timing.reference import utc

#: A week before the clocks go forward in Berlin.
NOW = utc(2026, 3, 22, 8, 4)


def preview_of(
    cron: str, now: datetime = NOW, count: int = 8, runs_left: int | None = None, **fields: object
) -> Preview:
    timing = parse_timing({"cron": cron, "timezone": "Europe/Berlin", **fields}, now).timing
    return preview(timing, now, count, runs_left)


def shown(row: PreviewRow) -> str:
    """Return a row as a page shows it."""
    time = f"{row.at:%m-%d %H:%M} {row.offset}" if row.at else f"{row.local:%m-%d %H:%M} -"
    return " ".join(filter(None, (time, row.mark, row.sentence)))


def test_the_next_due_times_are_local_times_with_their_offset() -> None:
    result = preview_of("30 2 * * *", utc(2026, 6, 1), count=2)
    assert (result.words, result.timezone) == ("every day at 02:30", "Europe/Berlin")
    assert [shown(row) for row in result.rows] == ["06-01 02:30 +02:00", "06-02 02:30 +02:00"]
    assert not result.is_complete


def test_twenty_due_times_are_the_default() -> None:
    timing = parse_timing({"cron": "@daily", "timezone": "UTC"}, NOW).timing
    assert len(preview(timing, NOW).rows) == 20


@pytest.mark.parametrize(
    ("cron", "rule", "row"),
    [
        (
            "30 2 * * *",
            "shift",
            "03-29 03:00 +02:00 clocks go forward 02:30 does not exist on this day. "
            "By the rule “shift” it runs at 03:00, right after the change.",
        ),
        (
            "30 2 * * *",
            "cron",
            "03-29 03:00 +02:00 clocks go forward 02:30 does not exist on this day. "
            "By the rule “cron” it runs at 03:00, right after the change.",
        ),
        (
            "30 2 * * *",
            "skip",
            "03-29 02:30 - clocks go forward 02:30 does not exist on this day. "
            "By the rule “skip” it does not run.",
        ),
        (
            "0,30 2 * * *",
            "shift",
            "03-29 03:00 +02:00 clocks go forward 02:00 and 02:30 do not exist on this day. "
            "By the rule “shift” they run once, at 03:00, right after the change.",
        ),
        (
            "*/10 2 * * *",
            "cron",
            "03-29 02:00 - clocks go forward 6 times from 02:00 to 02:50 do not exist on this "
            "day. By the rule “cron” they do not run.",
        ),
    ],
)
def test_a_skipped_time_is_explained(cron: str, rule: str, row: str) -> None:
    result = preview_of(cron, utc(2026, 3, 28, 12), count=3, skipped_time=rule)
    assert [shown(each) for each in result.rows if each.change] == [row]
    assert shown(result.rows[0]) == row
    assert sum(each.at is not None for each in result.rows) == 3


@pytest.mark.parametrize(
    ("cron", "rule", "rows"),
    [
        (
            "30 2 * * *",
            "first",
            [
                "10-25 02:30 +02:00 clocks go back 02:30 occurs twice on this day. "
                "By the rule “first” it runs once, the first time."
            ],
        ),
        (
            "30 2 * * *",
            "second",
            [
                "10-25 02:30 +01:00 clocks go back 02:30 occurs twice on this day. "
                "By the rule “second” it runs once, the second time."
            ],
        ),
        (
            "30 2 * * *",
            "both",
            [
                "10-25 02:30 +02:00 clocks go back 02:30 occurs twice on this day. "
                "By the rule “both” it runs twice.",
                "10-25 02:30 +01:00 clocks go back",
            ],
        ),
        (
            "*/30 2 * * *",
            "cron",
            [
                "10-25 02:00 +02:00 clocks go back 02:00 and 02:30 occur twice on this day. "
                "By the rule “cron” each runs twice.",
                "10-25 02:30 +02:00 clocks go back",
                "10-25 02:00 +01:00 clocks go back",
                "10-25 02:30 +01:00 clocks go back",
            ],
        ),
    ],
)
def test_a_repeated_time_is_explained_once(cron: str, rule: str, rows: list[str]) -> None:
    result = preview_of(cron, utc(2026, 10, 24, 12), count=6, repeated_time=rule)
    assert [shown(each) for each in result.rows if each.change] == rows
    assert len(result.rows) == 6


def test_the_explanation_stands_in_the_middle_of_the_rows() -> None:
    result = preview_of("30 2 * * *", count=8, skipped_time="skip")
    marked = [index for index, row in enumerate(result.rows) if row.change]
    assert (marked, len(result.rows)) == ([6], 9)
    times = [row.at for row in result.rows if row.at]
    assert times == sorted(times)


def test_the_next_day_of_each_change_that_affects_the_schedule_is_added() -> None:
    result = preview_of("30 2 * * *", count=2, skipped_time="skip", repeated_time="second")
    assert [shown(row) for row in result.later_changes] == [
        "03-29 02:30 - clocks go forward 02:30 does not exist on this day. "
        "By the rule “skip” it does not run.",
        "10-25 02:30 +01:00 clocks go back 02:30 occurs twice on this day. "
        "By the rule “second” it runs once, the second time.",
    ]


def test_a_change_among_the_rows_is_not_added_again() -> None:
    result = preview_of("30 2 * * *", count=10)
    assert [row.change for row in result.later_changes] == [ClockChange.REPEATED]


def test_a_change_that_does_not_affect_the_schedule_is_not_shown() -> None:
    assert preview_of("0 12 * * *", count=20).later_changes == ()
    # The last Sunday of March is the 29th in 2026 and then in 2037.
    yearly = preview_of("30 2 29 3 *", utc(2026, 4, 1), count=2)
    assert (len(yearly.rows), yearly.later_changes) == (2, ())


def test_half_an_hour_is_explained_in_lord_howe() -> None:
    result = preview_of("*/15 2 * * *", count=1, timezone="Australia/Lord_Howe")
    # The clocks repeat 01:30 to 02:00, and skip 02:00 to 02:30.
    assert [shown(row) for row in result.later_changes] == [
        "10-04 02:00 - clocks go forward 02:00 and 02:15 do not exist on this day. "
        "By the rule “cron” they do not run."
    ]


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        ({"ends_at": "2026-03-28T12:00"}, 0),
        ({"ends_at": "2026-03-28T12:00", "skipped_time": "skip"}, 0),
        ({"ends_at": "2026-10-25T01:30Z"}, 2),
        ({"ends_at": "2026-10-24T12:00"}, 1),
        ({"runs_left": 7}, 1),
        ({"runs_left": 6}, 0),
        ({"runs_left": 20_000}, 2),
    ],
)
def test_changes_after_the_end_are_not_shown(limits: dict[str, object], changes: int) -> None:
    result = preview_of("30 2 * * *", count=2, **limits)  # type: ignore[arg-type]
    assert (len(result.later_changes), result.is_complete) == (changes, False)


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({"runs_left": 3}, 3),
        ({"runs_left": 0}, 0),
        ({"ends_at": "2026-03-24T12:00"}, 2),
        ({"ends_at": "2026-03-28T12:00", "count": 6}, 6),
    ],
)
def test_a_preview_is_complete_if_no_run_follows(fields: dict[str, object], rows: int) -> None:
    result = preview_of("30 2 * * *", **{"count": 5, **fields})  # type: ignore[arg-type]
    assert (len(result.rows), result.is_complete, result.later_changes) == (rows, True, ())


@pytest.mark.parametrize(
    ("now", "fields"),
    [(NOW, {"starts_at": "2026-03-29T05:00"}), (utc(2026, 3, 29, 3), {})],
)
def test_a_skipped_time_before_now_or_the_start_is_not_shown(
    now: datetime, fields: dict[str, object]
) -> None:
    result = preview_of("30 2 * * *", now, 3, skipped_time="skip", **fields)
    assert [row.mark for row in result.rows] == ["", "", ""]
    assert result.rows[0].local.day == 30


def test_the_preview_within_a_repeated_hour_has_the_rest_of_it() -> None:
    between = utc(2026, 10, 25, 0, 31)
    second = preview_of("30 2 * * *", between, count=2, repeated_time="second")
    assert [bool(row.sentence) for row in second.rows] == [True, False]
    first = preview_of("30 2 * * *", between, count=2)
    assert [row.mark for row in first.rows] == ["", ""]
    assert [row.local.year for row in first.later_changes] == [2027, 2027]


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"interval_s": 3600}, "every hour"), ({"dates": ["2026-10-25T02:30+02:00"]}, "on one date")],
)
def test_intervals_and_dates_are_not_affected(fields: dict[str, object], words: str) -> None:
    timing = parse_timing({"timezone": "Europe/Berlin", **fields}, NOW).timing
    result = preview(timing, NOW, 1)
    assert result.words == words
    assert ([row.change for row in result.rows], result.later_changes) == ([None], ())
