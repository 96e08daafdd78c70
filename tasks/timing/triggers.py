"""Define the triggers of schedules: a cron expression, an interval, or a list of dates.

A cron expression is iterated in local time without a zone, and the rules of
`taskmaster.tasks.timing.local_time` give the instants. cronsim's own handling of zones loses
runs where the clocks change by half an hour.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from taskmaster.tasks.timing.local_time import ClockChange, Instants, instants_of
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime

#: The longest time that a zone has repeated since 1970 is three hours (Antarctica/Casey).
_REPEATED_MAX = timedelta(hours=4)


class DueTime(NamedTuple):
    """Hold one due time.

    `at` is in UTC. `local` is the time without a zone that the trigger names. It differs from the
    local time of `at` where the clocks skip it.
    """

    at: datetime
    local: datetime
    change: ClockChange | None


@dataclass(frozen=True)
class CronTrigger:
    """Hold a valid cron expression of five fields, and its rules for changes of the clocks."""

    expression: str
    zone: ZoneInfo
    skipped_time: SkippedTime = SkippedTime.CRON
    repeated_time: RepeatedTime = RepeatedTime.CRON

    @cached_property
    def is_wildcard(self) -> bool:
        """Return whether the minute or the hour is a wildcard, as Debian's cron decides it."""
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")

    @cached_property
    def shifts(self) -> bool:
        """Return whether a skipped time runs right after the change."""
        if self.skipped_time is SkippedTime.CRON:
            return not self.is_wildcard
        return self.skipped_time is SkippedTime.SHIFT

    @cached_property
    def repeats(self) -> RepeatedTime:
        """Return `first`, `second` or `both`."""
        if self.repeated_time is RepeatedTime.CRON:
            return RepeatedTime.BOTH if self.is_wildcard else RepeatedTime.FIRST
        return self.repeated_time

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the due times after `moment`, in order, each once."""
        start = moment.astimezone(self.zone).replace(tzinfo=None) - _REPEATED_MAX
        waiting: list[DueTime] = []
        last = moment
        for local in CronSim(self.expression, start):
            instants = instants_of(local, self.zone)
            # No later local time is due before `instants.first`.
            while waiting and waiting[0].at < instants.first:
                due = heapq.heappop(waiting)
                if due.at > last:
                    last = due.at
                    yield due
            for at in self._chosen(instants):
                if at > last:
                    heapq.heappush(waiting, DueTime(at, local, instants.change))
        for due in sorted(waiting):
            if due.at > last:
                last = due.at
                yield due

    def _chosen(self, instants: Instants) -> tuple[datetime, ...]:
        """Return the instants at which the local time is due, by the rules."""
        if instants.change is None:
            return (instants.first,)
        if instants.change is ClockChange.SKIPPED:
            return (instants.first,) if self.shifts else ()
        return {
            RepeatedTime.FIRST: (instants.first,),
            RepeatedTime.SECOND: (instants.second,),
            RepeatedTime.BOTH: (instants.first, instants.second),
        }[self.repeats]


@dataclass(frozen=True)
class IntervalTrigger:
    """Hold an interval of elapsed time, which changes of the clocks do not affect."""

    every: timedelta
    #: A time at which the interval is due. The others lie whole intervals before and after it.
    anchor: datetime
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the due times after `moment`, in order."""
        number = math.floor((moment - self.anchor) / self.every) + 1
        while True:
            at = self.anchor + number * self.every
            if at > moment:
                yield DueTime(at, at.astimezone(self.zone).replace(tzinfo=None), None)
            number += 1


@dataclass(frozen=True)
class DatesTrigger:
    """Hold a list of dates, sorted and in UTC."""

    dates: tuple[datetime, ...]
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the dates after `moment`, in order."""
        for at in self.dates:
            if at > moment:
                yield DueTime(at, at.astimezone(self.zone).replace(tzinfo=None), None)


Trigger = CronTrigger | IntervalTrigger | DatesTrigger
