"""Test that due times are in order and consistent for any expression, zone and moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmaster.tasks.timing.cron import WEEKDAY, cron_sets
from taskmaster.tasks.timing.cron_errors import cron_expression
from taskmaster.tasks.timing.timing import Timing, jitter
from taskmaster.tasks.timing.triggers import CronTrigger, DueTime, IntervalTrigger
from tests.tasks.timing import strategies
from tests.tasks.timing.reference import Expression, Minutes

MICROSECOND = timedelta(microseconds=1)


def first_of(trigger: CronTrigger | Timing, moment: datetime, count: int) -> list[DueTime]:
    """Return the first due times. A rare expression may have none within the years of a date."""
    horizon = moment + timedelta(days=30 * 366)
    return list(takewhile(lambda due: due.at < horizon, islice(trigger.after(moment), count)))


@given(st.data(), strategies.triggers)
def test_due_times_increase_and_are_those_of_a_search_from_any_of_them(
    data: st.DataObject, trigger: CronTrigger
) -> None:
    moment = data.draw(strategies.near_changes(trigger))
    found = first_of(trigger, moment, 8)
    assert all(due.at > moment for due in found)
    assert all(one.at < two.at for one, two in pairwise(found))
    for index, due in enumerate(found):
        assert first_of(trigger, due.at, 8)[: 7 - index] == found[index + 1 :][: 7 - index]
        assert first_of(trigger, due.at - MICROSECOND, 1) == [due]


@given(st.data(), strategies.triggers)
@settings(max_examples=40)
def test_the_due_times_of_a_day_agree_with_brute_force(
    data: st.DataObject, trigger: CronTrigger
) -> None:
    start = data.draw(strategies.near_changes(trigger)).replace(second=0, microsecond=0)
    end = start + timedelta(hours=20)
    minutes = Minutes(ZoneInfo(trigger.zone.key), start, end)
    found = takewhile(lambda due: due.at <= end, trigger.after(start - MICROSECOND))
    assert [due.at for due in found] == minutes.due(
        trigger.expression, trigger.skipped_time, trigger.repeated_time
    )


@given(strategies.expressions)
def test_the_values_of_the_fields_agree_with_cronsim_and_with_brute_force(text: str) -> None:
    expression = cron_expression(text)
    sets = cron_sets(expression)
    values = (sets.minutes, sets.hours, sets.days, sets.months, sets.weekdays)
    other, reference = CronSim(expression, datetime(2026, 1, 1)), Expression(text)
    weekdays = {day % 7 for day in other.weekdays}
    assert values == (other.minutes, other.hours, other.days, other.months, weekdays)
    assert values == (*reference.sets[:4], reference.weekdays)
    assert sets.both_days is other.day_and is reference.starred_days
    assert sets.weekdays <= WEEKDAY.everything


@given(
    strategies.zones,
    strategies.moments,
    strategies.moments,
    st.integers(1_000_000, 10**13).map(lambda number: timedelta(microseconds=number)),
)
def test_an_interval_is_due_at_whole_multiples_after_the_moment(
    zone: ZoneInfo, anchor: datetime, moment: datetime, every: timedelta
) -> None:
    first, second = islice(IntervalTrigger(every, anchor, zone).after(moment), 2)
    assert moment < first.at <= moment + every
    assert (first.at - anchor) % every == timedelta(0)
    assert second.at - first.at == every


@given(st.text(max_size=20), strategies.moments, st.floats(0, 86_400))
def test_jitter_is_stable_and_within_its_bounds(
    name: str, due_at: datetime, jitter_s: float
) -> None:
    shift = jitter(name, due_at, jitter_s)
    assert timedelta(0) <= shift <= timedelta(seconds=jitter_s)
    assert shift < timedelta(seconds=jitter_s) or jitter_s < 0.000_001
    local = due_at.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert jitter(name, local, jitter_s) == shift


@given(st.data(), strategies.triggers, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_start_and_end_are_inclusive(
    data: st.DataObject, trigger: CronTrigger, length: timedelta
) -> None:
    start = data.draw(strategies.near_changes(trigger))
    end = start + length
    everything = first_of(trigger, start - MICROSECOND, 10)
    limited = first_of(Timing(trigger, start, end), start - timedelta(days=1), 10)
    assert limited == [due for due in everything if due.at <= end]
    for due in limited:
        assert first_of(Timing(trigger, due.at, due.at), start - timedelta(days=1), 2) == [due]
