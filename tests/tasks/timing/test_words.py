"""Test that the words for a schedule are short where they can be, and always right."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given

from taskmaster.tasks.timing.cron import cron_sets
from taskmaster.tasks.timing.cron_errors import cron_expression
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import DatesTrigger, IntervalTrigger
from taskmaster.tasks.timing.words import describe, describe_cron
from taskmaster.tasks.timing.zones import zone_of
from tests.tasks.timing import strategies
from tests.tasks.timing.expressions import EXPRESSIONS
from tests.tasks.timing.reference import Expression
from tests.tasks.timing.words_reader import Meaning

#: Twenty-eight years have every combination of date and weekday.
DAYS = [date(2000, 1, 1) + timedelta(days=number) for number in range(28 * 366)]


def words_of(expression: str) -> str:
    return describe_cron(cron_sets(cron_expression(expression)))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("30 2 * * *", "every day at 02:30"),
        ("@daily", "every day at 00:00"),
        ("0 6,18 * * *", "every day at 06:00 and 18:00"),
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0-59/5 * * * *", "every 5 minutes"),
        ("@hourly", "every hour"),
        ("20 * * * *", "every hour at minute 20"),
        ("5,35 * * * *", "every hour at minutes 5 and 35"),
        ("*/7 * * * *", "every hour at minutes 0 to 56 in steps of 7"),
        ("0 */2 * * *", "every 2 hours"),
        ("15 */2 * * *", "every 2 hours at minute 15"),
        ("*/15 8-20 * * *", "every 15 minutes from 08:00 to 20:45"),
        ("* 8 * * *", "every minute from 08:00 to 08:59"),
        ("30 9-17 * * *", "every hour from 09:30 to 17:30"),
        ("*/15 0-4,22-23 * * *", "every 15 minutes of hours 0 to 4, 22 and 23"),
        ("5,35 8-20 * * mon", "at minutes 5 and 35 of hours 8 to 20, on Mondays"),
        ("0 4 * * 7", "on Sundays at 04:00"),
        ("15 16 * * 1-5", "on weekdays at 16:15"),
        ("0 4 * * mon-sat", "from Monday to Saturday at 04:00"),
        ("0 4 * * sat,sun", "on Saturdays and Sundays at 04:00"),
        ("0 3 1 * *", "on the 1st at 03:00"),
        ("0 3 1,15 * *", "on the 1st and 15th at 03:00"),
        ("0 3 2-4,11-13,22,23 * *", "on the 2nd to 4th, 11th to 13th, 22nd and 23rd at 03:00"),
        ("0 0 1 1 *", "on 1 January at 00:00"),
        ("0 3 1 1,7 *", "on the 1st at 03:00, in January and July"),
        ("0 3 * jun-aug *", "every day at 03:00, from June to August"),
        ("0 4 1,15 * 5", "at 04:00, on the 1st and 15th and on Fridays"),
        ("0 4 1-7 * */7", "on Sundays that are the 1st to 7th of the month at 04:00"),
        # Of the two fields one has every day, and one match is enough.
        ("0 4 1-31 * 1", "every day at 04:00"),
        ("0 4 1 1 0,*/1", "every day at 04:00, in January"),
    ],
)
def test_common_expressions_have_short_words(expression: str, words: str) -> None:
    assert words_of(expression) == words


def _check(expression: str) -> None:
    words, reference = words_of(expression), Expression(expression)
    meaning = Meaning(words)
    times = {(hour, minute) for hour in reference.hours for minute in reference.minutes}
    assert meaning.times == times, words
    wrong = [day for day in DAYS if meaning.has_day(day) != reference.has_day(day)]
    assert not wrong, (words, wrong[:3])


@pytest.mark.parametrize("part", range(4))
def test_the_words_of_the_reference_list_mean_what_the_expression_says(part: int) -> None:
    for expression in EXPRESSIONS[part::4]:
        _check(expression)


@given(strategies.expressions)
def test_the_words_of_any_expression_mean_what_it_says(expression: str) -> None:
    _check(expression)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "every second"),
        (1.5, "every 1.5 seconds"),
        (60, "every minute"),
        (300, "every 5 minutes"),
        (5400, "every 90 minutes"),
        (3600, "every hour"),
        # A day may have 23 or 25 hours.
        (86_400, "every 24 hours"),
        (100_000, "every 100,000 seconds"),
    ],
)
def test_an_interval_has_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    trigger = IntervalTrigger(
        timedelta(seconds=seconds), datetime(2026, 1, 1, tzinfo=UTC), zone_of("UTC")
    )
    assert describe(Timing(trigger)) == words


@pytest.mark.parametrize(("count", "words"), [(1, "on one date"), (3, "on 3 dates")])
def test_dates_are_counted(count: int, words: str) -> None:
    dates = tuple(datetime(2026, 1, 1 + number, tzinfo=UTC) for number in range(count))
    assert describe(Timing(DatesTrigger(dates, zone_of("UTC")))) == words
