"""Test the start and the end of a schedule, and its jitter."""

from __future__ import annotations

from datetime import timedelta

from taskmaster.tasks.timing.timing import Timing, jitter
from taskmaster.tasks.timing.triggers import CronTrigger, DatesTrigger, IntervalTrigger
from taskmaster.tasks.timing.zones import zone_of
from tests.tasks.timing.reference import utc

UTC_ZONE = zone_of("UTC")
DAILY = CronTrigger("0 0 * * *", UTC_ZONE)


def test_start_and_end_belong_to_the_range() -> None:
    timing = Timing(DAILY, utc(2026, 5, 1), utc(2026, 5, 3))
    assert [due.at.day for due in timing.after(utc(2026))] == [1, 2, 3]
    assert [due.at.day for due in timing.after(utc(2026, 5, 1))] == [2, 3]
    assert timing.next_after(utc(2026, 5, 3)) is None


def test_dates_end_with_the_last_one() -> None:
    dates = DatesTrigger((utc(2026, 1, 1), utc(2026, 2, 1)), UTC_ZONE)
    assert [due.at for due in Timing(dates).after(utc(2025))] == list(dates.dates)
    assert [due.at for due in Timing(dates).after(utc(2026))] == [utc(2026, 2, 1)]
    assert Timing(dates).next_after(utc(2026, 2, 1)) is None


def test_an_interval_counts_elapsed_time_through_a_change_of_the_clocks() -> None:
    trigger = IntervalTrigger(timedelta(days=1), utc(2026, 3, 28, 11), zone_of("Europe/Berlin"))
    first = trigger.after(utc(2026, 3, 28, 10))
    assert [next(first).local.hour for _ in range(3)] == [12, 13, 13]


def test_an_interval_is_due_before_its_anchor_too() -> None:
    trigger = IntervalTrigger(timedelta(seconds=7), utc(2026), UTC_ZONE)
    due = next(trigger.after(utc(2020)))
    assert timedelta(0) < due.at - utc(2020) <= timedelta(seconds=7)
    assert (utc(2026) - due.at) % timedelta(seconds=7) == timedelta(0)


def test_an_interval_of_a_fraction_of_a_second_does_not_drift() -> None:
    trigger = IntervalTrigger(timedelta(seconds=1.1), utc(1970), UTC_ZONE)
    moment = utc(2070) + timedelta(microseconds=1)
    due = next(trigger.after(moment))
    assert (due.at - utc(1970)) % timedelta(seconds=1.1) == timedelta(0)
    assert next(trigger.after(due.at - timedelta(microseconds=1))) == due


def test_the_jitter_of_a_due_time_is_the_same_in_every_version() -> None:
    """Coordinators of two versions run next to each other during a rolling deployment."""
    assert [jitter("nightly", utc(2026, 5, day), 60) for day in (1, 2)] == [
        timedelta(seconds=3, microseconds=510_328),
        timedelta(seconds=32, microseconds=693_677),
    ]


def test_jitter_spreads_the_schedules_of_one_due_time() -> None:
    shifts = [jitter(f"schedule {number}", utc(2026, 5, 1), 100) for number in range(1000)]
    for part in range(10):
        low = timedelta(seconds=10 * part)
        assert 60 <= sum(low <= shift < low + timedelta(seconds=10) for shift in shifts) <= 140
