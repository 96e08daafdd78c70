"""Test that due times agree with a brute-force implementation: 200 expressions in five zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from taskmaster.tasks.timing.cron_errors import cron_expression
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime
from taskmaster.tasks.timing.triggers import CronTrigger
from taskmaster.tasks.timing.zones import zone_of
from tests.tasks.timing.expressions import EXPRESSIONS
from tests.tasks.timing.reference import Minutes, utc

#: For each zone a year, and days on which its clocks change.
ZONES = {
    "Europe/Berlin": (2026, [utc(2026, 3, 29), utc(2026, 10, 25)]),
    "America/New_York": (2026, [utc(2026, 3, 8), utc(2026, 11, 1)]),
    "Australia/Lord_Howe": (2026, [utc(2026, 4, 4), utc(2026, 10, 3)]),
    "America/Sao_Paulo": (2018, [utc(2018, 2, 18), utc(2018, 11, 4)]),
    "UTC": (2026, [utc(2026, 3, 29)]),
}
RULES = [(skipped, repeated) for skipped in SkippedTime for repeated in RepeatedTime]


def due(
    expression: str,
    zone: str,
    start: datetime,
    end: datetime,
    skipped: SkippedTime = SkippedTime.CRON,
    repeated: RepeatedTime = RepeatedTime.CRON,
) -> list[datetime]:
    """Return the due times from start to end."""
    trigger = CronTrigger(cron_expression(expression), zone_of(zone), skipped, repeated)
    times = (each.at for each in trigger.after(start - timedelta(microseconds=1)))
    return list(takewhile(lambda at: at <= end, times))


@cache
def minutes(zone: str, start: datetime, end: datetime) -> Minutes:
    return Minutes(ZoneInfo(zone), start, end)


def around(day: datetime) -> tuple[datetime, datetime]:
    """Return a range of 36 hours. All changes are between 15:00 UTC of the day before and 08:00."""
    return day - timedelta(hours=14), day + timedelta(hours=22)


def by_cronsim(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Return the due times from start to end as cronsim computes them, with the zone."""
    before = (start - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    times = CronSim(cron_expression(expression), before)
    instants = (local.astimezone(UTC) for local in times)
    return list(takewhile(lambda at: at <= end, instants))


def test_the_list_is_long_and_has_no_expression_twice() -> None:
    assert len(set(EXPRESSIONS)) == len(EXPRESSIONS) >= 200


@pytest.mark.parametrize("zone", ZONES)
def test_the_due_times_near_clock_changes_agree_with_brute_force(zone: str) -> None:
    for day in ZONES[zone][1]:
        start, end = around(day)
        for expression in EXPRESSIONS:
            expected = minutes(zone, start, end).due(expression)
            assert due(expression, zone, start, end) == expected, (expression, day)


@pytest.mark.parametrize("zone", ZONES)
def test_every_rule_for_clock_changes_agrees_with_brute_force(zone: str) -> None:
    for day in ZONES[zone][1]:
        start, end = around(day)
        for index, expression in enumerate(EXPRESSIONS[::4]):
            # One of the twelve pairs of rules for each.
            rules = RULES[index % len(RULES)]
            expected = minutes(zone, start, end).due(expression, *rules)
            assert due(expression, zone, start, end, *rules) == expected, (expression, rules)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("zone", ZONES)
def test_cronsim_differs_only_where_it_loses_runs_in_lord_howe(zone: str) -> None:
    for day in ZONES[zone][1]:
        start, end = around(day)
        for expression in EXPRESSIONS:
            ours = due(expression, zone, start, end)
            others = by_cronsim(expression, zone, start, end)
            if zone == "Australia/Lord_Howe":
                assert set(others) <= set(ours), expression
            else:
                assert others == ours, expression


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("zone", ZONES)
def test_the_due_times_of_a_year_agree_with_brute_force(zone: str) -> None:
    year, _ = ZONES[zone]
    start, end = utc(year), utc(year + 1)
    everything = Minutes(ZoneInfo(zone), start, end)
    for expression in EXPRESSIONS:
        assert due(expression, zone, start, end) == everything.due(expression), expression


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("zone", ZONES)
def test_every_expression_with_every_rule_agrees_with_brute_force(zone: str) -> None:
    for day in ZONES[zone][1]:
        start, end = around(day)
        for expression in EXPRESSIONS:
            for rules in RULES:
                expected = minutes(zone, start, end).due(expression, *rules)
                assert due(expression, zone, start, end, *rules) == expected, (expression, rules)
