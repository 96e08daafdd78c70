"""Test that the timing of a schedule is validated, and converted to columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.timing.parse import TIMING_FIELDS, ParsedTiming, parse_timing
from tests.tasks.timing.reference import utc

NOW = datetime(2026, 3, 22, 8, 4, tzinfo=UTC)
SUMMER = "2026-10-25T12:00+01:00"


def parsed(**fields: object) -> ParsedTiming:
    return parse_timing({"timezone": "Europe/Berlin", **fields}, NOW)


def refusal(**fields: object) -> tuple[str, str]:
    with pytest.raises(InvalidField) as refused:
        parsed(**fields)
    return refused.value.field, refused.value.rule


def test_the_columns_have_the_defaults() -> None:
    assert parsed(cron=" 30  2 * * * ").columns() == {
        "trigger": "cron",
        "cron": "30 2 * * *",
        "interval_s": None,
        "anchor": None,
        "dates": [],
        "timezone": "Europe/Berlin",
        "skipped_time": "cron",
        "repeated_time": "cron",
        "starts_at": None,
        "ends_at": None,
        "max_runs": None,
        "jitter_s": 0.0,
        "missed": "latest",
        "missed_max": 10,
        "catch_up_s": 86_400.0,
        "overlap": "allow",
    }


def test_the_defaults_are_those_of_the_model() -> None:
    for name, value in parsed(cron="@daily").columns().items():
        field = Schedule._meta.get_field(name)
        if field.has_default():  # type: ignore[union-attr]
            assert name == "cron" or field.get_default() == value, name  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "*/15 2 * * *", "skipped_time": "shift", "repeated_time": "second"},
        {"interval_s": 90, "anchor": "2026-01-01T00:00"},
        {"dates": ["2026-10-25T12:00", "2026-04-01T00:00Z"]},
        {"cron": "@daily", "starts_at": "2026-05-01T00:00", "ends_at": "2026-06-01T00:00"},
    ],
)
def test_a_stored_schedule_has_the_same_timing(fields: dict[str, object]) -> None:
    result = parsed(**fields)
    columns = result.columns()
    assert set(columns) - {"trigger"} == set(TIMING_FIELDS)
    assert timing_of(Schedule(**columns)) == result.timing
    # An edit validates the stored columns together with the changed ones.
    again = {name: value for name, value in columns.items() if name != "trigger"}
    assert parsed(**again).columns() == columns


def test_the_first_due_time_is_after_now() -> None:
    assert parsed(cron="4 9 * * *").first.at == utc(2026, 3, 23, 8, 4)
    assert parsed(cron="5 9 * * *").first.at == utc(2026, 3, 22, 8, 5)


def test_all_options_are_kept() -> None:
    result = parsed(
        cron="@daily",
        max_runs=3,
        jitter_s=60,
        missed="all",
        missed_max=5,
        catch_up_s=3600,
        overlap="queue_one",
    )
    assert (result.max_runs, result.jitter_s, result.missed) == (3, 60.0, "all")
    assert (result.missed_max, result.catch_up_s, result.overlap) == (5, 3600.0, "queue_one")


@override_settings(TIME_ZONE="America/New_York")
def test_the_time_zone_of_the_project_is_the_default() -> None:
    result = parse_timing({"cron": "0 12 * * *"}, NOW)
    assert result.timezone == "America/New_York"
    assert result.first.at == utc(2026, 3, 22, 16)


def test_times_without_an_offset_are_local_times_of_the_zone() -> None:
    result = parsed(cron="@daily", starts_at="2026-07-01T12:00", ends_at="2026-12-01 12:00")
    assert (result.starts_at, result.ends_at) == (utc(2026, 7, 1, 10), utc(2026, 12, 1, 11))
    naive = datetime(2026, 7, 1, 12)
    assert parsed(dates=[naive]).dates == (utc(2026, 7, 1, 10),)


def test_dates_are_sorted_instants() -> None:
    result = parsed(dates=[SUMMER, "2026-07-01T12:00Z", "2020-01-01T00:00"])
    assert result.dates == (utc(2019, 12, 31, 23), utc(2026, 7, 1, 12), utc(2026, 10, 25, 11))
    assert result.first.at == utc(2026, 7, 1, 12)


def test_an_interval_without_an_anchor_does_not_depend_on_the_time_of_its_declaration() -> None:
    one = parsed(interval_s=604_800)
    two = parse_timing(
        {"interval_s": 604_800, "timezone": "Europe/Berlin"}, NOW + timedelta(hours=5)
    )
    assert one.columns() == two.columns()
    # A Monday at midnight.
    assert one.first.at == utc(2026, 3, 22, 23)


def test_an_interval_without_an_anchor_counts_from_the_start() -> None:
    result = parsed(interval_s=3600, starts_at="2026-04-01T10:10Z")
    assert result.anchor == result.first.at == utc(2026, 4, 1, 10, 10)


def test_empty_fields_of_a_form_are_not_given() -> None:
    assert parsed(interval_s=5, cron="", dates=[], anchor=None).interval_s == 5.0
    assert parsed(cron="@daily", interval_s=None, dates=[], max_runs=None).cron == "0 0 * * *"


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({}, "cron", "is required; give one of cron, interval_s and dates."),
        ({"cron": ""}, "cron", "must not be empty"),
        ({"dates": []}, "dates", "must contain at least one time."),
        ({"cron": "@daily", "interval_s": 5}, "interval_s", "cannot be combined with cron"),
        ({"cron": "@daily", "dates": [SUMMER]}, "dates", "cannot be combined with cron"),
        ({"cron": "@daily", "anchor": SUMMER}, "anchor", "belongs to interval_s; cron has none."),
        ({"cron": "* * * * * *"}, "cron", "has six fields"),
        ({"cron": "@daily", "timezone": "Europe/Berln"}, "timezone", "did you mean Europe/Berlin"),
        ({"cron": "@daily", "timezone": ""}, "timezone", "must not be empty"),
        # An expression or a range without a run.
        ({"cron": "0 0 29 2 */7"}, "cron", "has no run in the next five years. The first run"),
        (
            {"cron": "0 0 1 1 *", "ends_at": "2026-12-01T00:00"},
            "ends_at",
            "is 2026-12-01 00:00:00+01:00, before the first run. The first run would be due at "
            "2027-01-01 00:00:00+01:00.",
        ),
        (
            {"cron": "@daily", "starts_at": "2026-05-02T00:00", "ends_at": "2026-05-01T00:00"},
            "ends_at",
            "is 2026-05-01 00:00:00+02:00; it must not be before starts_at, 2026-05-02 00:00:00",
        ),
        ({"cron": "@daily", "ends_at": "2026-03-01T00:00"}, "ends_at", "must be in the future"),
        ({"cron": "@daily", "starts_at": "2040-01-01T00:00"}, "starts_at", "more than five years"),
        ({"dates": ["2026-01-01T00:00Z"]}, "dates", "has no date in the next five years"),
        ({"dates": ["2036-01-01T00:00Z"]}, "dates", "The first run would be due at 2036-01-01"),
        ({"dates": [SUMMER], "starts_at": "2027-01-01T00:00"}, "dates", "years after starts_at."),
        ({"interval_s": 0.5}, "interval_s", "is 0.5; it must be from 1 to 158,112,000 seconds."),
        ({"interval_s": 0}, "interval_s", "is 0; it must be from 1"),
        ({"interval_s": -60}, "interval_s", "is -60; it must be from 1"),
        ({"interval_s": float("nan")}, "interval_s", "is not a number (NaN); it must be from 1"),
        ({"interval_s": float("inf")}, "interval_s", "is inf; it must be from 1"),
        ({"interval_s": 10**5000}, "interval_s", "is a number of more than 20 digits; it must"),
        ({"interval_s": 158_112_001}, "interval_s", "is 158,112,001; it must be from 1"),
        ({"interval_s": "60"}, "interval_s", "must be a number of seconds, not a string."),
        ({"interval_s": True}, "interval_s", "must be a number of seconds, not a boolean."),
        # Points in time.
        (
            {"dates": ["2026-03-29T02:30"]},
            "dates[0]",
            "does not exist in Europe/Berlin, because the clocks go forward. The first time after "
            "the change is 2026-03-29T03:00:00+02:00.",
        ),
        (
            {"dates": [SUMMER, "2026-10-25T02:30"]},
            "dates[1]",
            "occurs twice in Europe/Berlin, because the clocks go back. Add an offset: "
            "2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00.",
        ),
        (
            {"dates": [SUMMER, "2026-10-25T11:00Z"]},
            "dates[1]",
            "is 2026-10-25T11:00Z, the same instant as dates[0].",
        ),
        (
            {"dates": [f"2026-12-01T00:00:00.{number:06}Z" for number in range(1001)]},
            "dates",
            "has 1,001 dates; the limit is 1,000.",
        ),
        ({"dates": SUMMER}, "dates", "must be a list of times, not a string."),
        ({"dates": [5]}, "dates[0]", "must be an ISO 8601 time, not a number."),
        ({"dates": [None]}, "dates[0]", "must be an ISO 8601 time, not null."),
        ({"dates": ["2026-12-01"]}, "dates[0]", "has no time of day; for example, use 2026-12-01T"),
        ({"dates": ["2026-13-01T00:00"]}, "dates[0]", "is not a time such as 2030-01-31T12:00:00Z"),
        ({"dates": ["\u0662026-12-01T00:00"]}, "dates[0]", "is not a time such as"),
        ({"dates": ["x" * 10_240]}, "dates[0]", "is not a time such as"),
        ({"dates": ["9999-12-31T23:59"]}, "dates[0]", "the year must be from 1970 to 9998."),
        ({"dates": ["0001-01-01T00:00+14:00"]}, "dates[0]", "is out of range"),
        ({"dates": ["1969-01-01T00:00Z"]}, "dates[0]", "is before 1970"),
        ({"dates": ["2300-01-01T00:00Z"]}, "dates[0]", "more than 100 years in the future"),
        ({"cron": "@daily", "ends_at": "2026-05-01"}, "ends_at", "has no time of day"),
        ({"interval_s": 60, "anchor": "x"}, "anchor", "'x' is not a time such as"),
        # Numbers and choices.
        ({"cron": "@daily", "max_runs": 0}, "max_runs", "is 0; it must be from 1 to"),
        ({"cron": "@daily", "max_runs": 1.5}, "max_runs", "must be a whole number, not 1.5."),
        ({"cron": "@daily", "max_runs": 10**30}, "max_runs", "a number of more than 20 digits"),
        ({"cron": "@daily", "missed_max": 0}, "missed_max", "is 0; it must be from 1 to 1,000."),
        ({"cron": "@daily", "catch_up_s": 59}, "catch_up_s", "To make up none, use missed: skip."),
        ({"cron": "@daily", "catch_up_s": 10**9}, "catch_up_s", "it must be from 60 to 31,622,400"),
        ({"cron": "@daily", "jitter_s": -1}, "jitter_s", "is -1; it must be from 0 to 86,400"),
        ({"cron": "@daily", "jitter_s": float("nan")}, "jitter_s", "is not a number (NaN)"),
        (
            {"interval_s": 300, "jitter_s": 301},
            "jitter_s",
            "is 301; it must not exceed the shortest time between two runs, 300 seconds.",
        ),
        ({"cron": "0,10 3 * * *", "jitter_s": 601}, "jitter_s", "between two runs, 600 seconds."),
        (
            {"dates": [SUMMER, "2026-10-25T12:00:30+01:00"], "jitter_s": 31},
            "jitter_s",
            "between two runs, 30 seconds.",
        ),
        (
            {"cron": "@daily", "missed": "al"},
            "missed",
            "one of skip, latest, all. Did you mean all",
        ),
        ({"cron": "@daily", "missed": 5}, "missed", "must be one of skip, latest, all, not a num"),
        ({"cron": "@daily", "overlap": "queue"}, "overlap", "Did you mean queue_one?"),
        ({"cron": "@daily", "skipped_time": "SHIFT"}, "skipped_time", "Did you mean shift?"),
        ({"cron": "@daily", "repeated_time": ""}, "repeated_time", "one of cron, first, second"),
    ],
)
def test_bad_input_is_refused_with_the_field_and_the_rule(
    fields: dict[str, object], field: str, rule: str
) -> None:
    refused_field, refused_rule = refusal(**fields)
    assert refused_field == field
    assert rule in refused_rule


def test_a_jitter_may_be_as_long_as_the_time_between_two_runs() -> None:
    # On the day on which the clocks go forward, two runs are 23 hours apart.
    assert parsed(cron="@daily", jitter_s=86_400).jitter_s == 86_400
    assert parsed(cron="*/5 * * * *", jitter_s=300).jitter_s == 300
    assert parsed(dates=[SUMMER], jitter_s=86_400).jitter_s == 86_400


values: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["@daily", "0 0 31 12 *", "UTC", "skip", SUMMER, "2026-03-29T02:30"])
    | st.datetimes()
    | st.lists(st.text(max_size=5) | st.datetimes() | st.none(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(TIMING_FIELDS), values))
def test_any_input_is_accepted_or_refused_with_one_of_its_fields(fields: dict[str, Any]) -> None:
    try:
        result = parsed(**fields)
    except InvalidField as error:
        field = error.field
    else:
        field = "cron"
        assert result.first.at > NOW
    assert field.partition("[")[0] in TIMING_FIELDS
