"""Convert local times to instants, and find the changes of the clocks of a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

#: The longest time that a zone has repeated since 1970 is seven hours (Antarctica/Vostok in 1994).
#: No zone has had two changes within this time.
REPEATED_MAX = timedelta(hours=8)
#: Steps of the search for changes. The shortest time between two changes since 1970 is an hour less
#: than a week (Brazil in 2000).
_STEP = timedelta(days=3)
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


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


class Transition(NamedTuple):
    """Hold a change of the clocks.

    At the instant `at` the clocks would show `before`, and they show `after`. Both have no zone.
    """

    at: datetime
    before: datetime
    after: datetime

    @property
    def change(self) -> ClockChange:
        """Return what it does to the local times between `before` and `after`."""
        return ClockChange.SKIPPED if self.after > self.before else ClockChange.REPEATED


def instants_of(local: datetime, zone: ZoneInfo) -> Instants:
    """Return the instants at which the clocks of `zone` show `local`, which has no zone."""
    # A dense expression has 500,000 due times a year, and a `replace` takes longer than the rest.
    offset, late_offset = zone.utcoffset(local), zone.utcoffset(local.replace(fold=1))
    assert offset is not None
    assert late_offset is not None
    early = _EPOCH_UTC + (local - offset - _EPOCH)
    if offset == late_offset:
        return Instants(early, early, None)
    late = _EPOCH_UTC + (local - late_offset - _EPOCH)
    if early < late:
        return Instants(early, late, ClockChange.REPEATED)
    # Of a skipped time, `fold=0` has the offset before the change, which gives the later instant.
    end = _change_between(late, early, zone)
    return Instants(end, end, ClockChange.SKIPPED)


def local_time(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the local time of an instant, without a zone."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def repeated_before(moment: datetime, zone: ZoneInfo) -> timedelta:
    """Return how far before the local time of `moment` later instants may lie.

    That is zero unless the clocks go back after `moment` by at least the time until then.
    """
    now = _offset(moment.astimezone(zone))
    repeated = now - _offset((moment + REPEATED_MAX).astimezone(zone))
    if repeated <= timedelta(0) or _offset((moment + repeated).astimezone(zone)) == now:
        return timedelta(0)
    return repeated


def transitions(zone: ZoneInfo, after: datetime, until: datetime) -> list[Transition]:
    """Return the changes of the clocks after one instant and until another, in order."""
    found = []
    after = after.replace(microsecond=0)
    low, offset = after, _offset(after.astimezone(zone))
    while low < until:
        high = min(low + _STEP, until)
        new = _offset(high.astimezone(zone))
        if new != offset:
            at = _change_between(low, high, zone).astimezone(UTC)
            utc = at.replace(tzinfo=None)
            found.append(Transition(at, utc + offset, utc + new))
        low, offset = high, new
    return found


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None
    return offset


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the offset of `zone` changes, to the second."""
    old = _offset(before.astimezone(zone))
    low, high = 0, int((after - before).total_seconds())
    while low < high:
        middle = (low + high) // 2
        if _offset((before + timedelta(seconds=middle)).astimezone(zone)) == old:
            low = middle + 1
        else:
            high = middle
    return before + timedelta(seconds=low)
