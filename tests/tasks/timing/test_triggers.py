"""Test the due times of cron expressions at the hours in which the clocks change."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, takewhile

import pytest

from taskmaster.tasks.timing.local_time import ClockChange
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime
from taskmaster.tasks.timing.triggers import CronTrigger, DueTime
from taskmaster.tasks.timing.zones import zone_of
from tests.tasks.timing.reference import utc

BERLIN = zone_of("Europe/Berlin")


def test_local_times_are_after_the_start() -> None:
    trigger = CronTrigger("*/15 1,3 * * *", BERLIN)
    start = datetime(2026, 7, 1, 1, 15)
    expected = [
        datetime(2026, 7, 1, hour, minute)
        for hour, minute in ((1, 30), (1, 45), (3, 0), (3, 15), (3, 30), (3, 45))
    ]
    assert list(islice(trigger.local_times(start), 6)) == expected
    assert list(islice(trigger.local_times(start + timedelta(seconds=59)), 6)) == expected
    assert next(trigger.local_times(start - timedelta(seconds=1))) == start
    assert next(trigger.local_times(datetime(2026, 7, 1, 3, 45))) == datetime(2026, 7, 2, 1)


@pytest.mark.parametrize("repeated", RepeatedTime)
@pytest.mark.parametrize("skipped", SkippedTime)
@pytest.mark.parametrize("expression", ["*/20 * * * *", "5,35 1-3 * * *", "30 2 * * *"])
@pytest.mark.parametrize("month", [3, 10])
def test_a_search_from_any_minute_near_a_change_finds_the_rest(
    month: int, expression: str, skipped: SkippedTime, repeated: RepeatedTime
) -> None:
    trigger = CronTrigger(expression, BERLIN, skipped, repeated)
    change = utc(2026, month, 29 if month == 3 else 25, 1)
    start, end = change - timedelta(hours=3), change + timedelta(hours=3)

    def found(moment: datetime) -> list[DueTime]:
        return list(takewhile(lambda due: due.at <= end, trigger.after(moment)))

    everything = found(start)
    for minute in range(0, 360, 5):
        moment = start + timedelta(minutes=minute)
        assert found(moment) == [due for due in everything if due.at > moment]


def test_times_of_a_skipped_hour_and_the_time_after_it_are_one_due_time() -> None:
    trigger = CronTrigger("0,30 2,3 * * *", BERLIN)
    first, second = islice(trigger.after(utc(2026, 3, 29)), 2)
    assert first == (utc(2026, 3, 29, 1), datetime(2026, 3, 29, 2), ClockChange.SKIPPED)
    assert second == (utc(2026, 3, 29, 1, 30), datetime(2026, 3, 29, 3, 30), None)


def test_a_skipped_day_is_due_right_after_it() -> None:
    """Samoa had no 30 December 2011."""
    trigger = CronTrigger("0 12 30 * *", zone_of("Pacific/Apia"))
    due = next(trigger.after(utc(2011, 12, 1)))
    assert due.at == utc(2011, 12, 30, 10)
    assert due.change is ClockChange.SKIPPED
