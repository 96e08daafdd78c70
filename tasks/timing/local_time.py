"""Convert local times to instants, and apply the rules for the days on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo


class ClockChange(StrEnum):
    """List what a change of the clocks does to a local time."""

    #: The clocks go forward, and the time does not exist.
    SKIPPED = "skipped"
    #: The clocks go back, and the time occurs twice.
    REPEATED = "repeated"


class Instants(NamedTuple):
    """Hold the instants of a local time, in UTC.

    `first` and `second` are equal, except for a repeated time. For a skipped time both are the
    first instant after the change.
    """

    first: datetime
    second: datetime
    change: ClockChange | None


@lru_cache(maxsize=10_000)
def instants_of(local: datetime, zone: ZoneInfo) -> Instants:
    """Return the instants at which the clocks of `zone` show `local`, which has no zone."""
    early = _utc(local, _offset(local, zone, fold=0))
    late = _utc(local, _offset(local, zone, fold=1))
    if early == late:
        return Instants(early, early, None)
    if early < late:
        return Instants(early, late, ClockChange.REPEATED)
    # Of a skipped time, `fold=0` has the offset before the change, which gives the later instant.
    end = _change_between(late, early, zone)
    return Instants(end, end, ClockChange.SKIPPED)


def _offset(local: datetime, zone: ZoneInfo, *, fold: int) -> timedelta:
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None
    return offset


def _utc(local: datetime, offset: timedelta) -> datetime:
    return (local - offset).replace(tzinfo=UTC)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the offset of `zone` changes, to the second."""
    old = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while low < high:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == old:
            low = middle + 1
        else:
            high = middle
    return before + timedelta(seconds=low)
