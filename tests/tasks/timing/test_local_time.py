"""Test local times that are skipped and repeated, and the search for changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from taskmaster.tasks.timing.local_time import (
    REPEATED_MAX,
    ClockChange,
    instants_of,
    repeated_before,
    transitions,
)
from taskmaster.tasks.timing.zones import zone_names, zone_of
from tests.tasks.timing.reference import utc

BERLIN = zone_of("Europe/Berlin")


def test_a_common_time_has_one_instant() -> None:
    instants = instants_of(datetime(2026, 7, 1, 12), BERLIN)
    assert instants == (utc(2026, 7, 1, 10), utc(2026, 7, 1, 10), None)


def test_a_repeated_time_has_two_instants() -> None:
    instants = instants_of(datetime(2026, 10, 25, 2, 30), BERLIN)
    first, second = utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)
    assert instants == (first, second, ClockChange.REPEATED)


@pytest.mark.parametrize(
    ("zone", "local", "end"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 2, 30), utc(2026, 3, 29, 1)),
        ("Australia/Lord_Howe", datetime(2026, 10, 4, 2, 15), utc(2026, 10, 3, 15, 30)),
        ("America/Sao_Paulo", datetime(2018, 11, 4, 0, 0), utc(2018, 11, 4, 3)),
        # Samoa skipped 30 December 2011.
        ("Pacific/Apia", datetime(2011, 12, 30, 12), utc(2011, 12, 30, 10)),
    ],
)
def test_a_skipped_time_has_the_first_instant_after_the_change(
    zone: str, local: datetime, end: datetime
) -> None:
    assert instants_of(local, zone_of(zone)) == (end, end, ClockChange.SKIPPED)


def test_the_changes_of_a_year_are_found() -> None:
    found = transitions(BERLIN, utc(2026), utc(2027))
    assert found == [
        (utc(2026, 3, 29, 1), datetime(2026, 3, 29, 2), datetime(2026, 3, 29, 3)),
        (utc(2026, 10, 25, 1), datetime(2026, 10, 25, 3), datetime(2026, 10, 25, 2)),
    ]
    assert [each.change for each in found] == [ClockChange.SKIPPED, ClockChange.REPEATED]


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_a_change_is_after_the_start_and_not_after_the_end(microsecond: int) -> None:
    change = utc(2026, 3, 29, 1)
    exact = timedelta(microseconds=microsecond)
    assert transitions(BERLIN, change + exact, change + timedelta(days=1)) == []
    assert [each.at for each in transitions(BERLIN, change - timedelta(seconds=1), change)] == [
        change
    ]
    before = change - timedelta(seconds=1) + exact
    assert [each.at for each in transitions(BERLIN, before, change + exact)] == [change]
    assert transitions(BERLIN, utc(2026, 3, 1), change - timedelta(seconds=1)) == []


def test_a_zone_without_changes_has_none() -> None:
    assert transitions(zone_of("UTC"), utc(2026), utc(2031)) == []


@pytest.mark.long
def test_no_zone_repeats_more_time_or_changes_twice_within_it() -> None:
    """Test the limits that the computation of due times relies on, for all zones since 1970."""
    for name in sorted(zone_names()):
        found = transitions(zone_of(name), utc(1970), utc(2040))
        for one, two in pairwise(found):
            assert two.at - one.at > REPEATED_MAX, (name, one)
        for each in found:
            assert each.before - each.after < REPEATED_MAX, (name, each)


def test_only_a_moment_before_the_clocks_go_back_has_later_instants_before_it() -> None:
    change = utc(2026, 10, 25, 1)
    hour = timedelta(hours=1)
    assert repeated_before(change - hour, BERLIN) == hour
    assert repeated_before(change - hour - timedelta(microseconds=1), BERLIN) == timedelta(0)
    assert repeated_before(change - timedelta(microseconds=1), BERLIN) == hour
    assert repeated_before(change, BERLIN) == timedelta(0)
    assert repeated_before(utc(2026, 7, 1), BERLIN) == timedelta(0)
    assert repeated_before(utc(2026, 3, 29, 0, 59), BERLIN) == timedelta(0)
    assert repeated_before(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), zone_of("UTC")) == timedelta(
        0
    )
