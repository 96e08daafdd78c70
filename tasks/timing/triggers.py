"""Define the triggers of schedules: a cron expression, an interval, or a list of dates.

A cron expression is iterated in local time without a zone, and the rules of
`taskmaster.tasks.timing.local_time` give the instants. cronsim's own handling of zones loses
runs where the clocks change by half an hour.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from taskmaster.tasks.timing.cron import CronSets, cron_sets
from taskmaster.tasks.timing.local_time import (
    ClockChange,
    instants_of,
    local_time,
    repeated_before,
)
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
#: The time since midnight by hour and minute. Adding it takes a fifth of `datetime.replace`.
_SINCE_MIDNIGHT = [[timedelta(hours=h, minutes=m) for m in range(60)] for h in range(24)]


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
        """Return whether the minute or the hour starts with `*`, as Debian's cron decides it."""
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

    @property
    def sets(self) -> CronSets:
        """Return the values of the five fields."""
        return cron_sets(self.expression)

    def local_times(self, start: datetime) -> Iterator[datetime]:
        """Yield the local times after `start` that the expression names, whatever the clocks do."""
        sets = self.sets
        hours, minutes = sets.sorted_hours, sets.sorted_minutes
        days = self.expression.split(maxsplit=2)[2]
        today = datetime(start.year, start.month, start.day)
        day = _next_day(days, today)
        if day == today:
            if start.hour in sets.hours:
                for minute in minutes[bisect_right(minutes, start.minute) :]:
                    yield day + _SINCE_MIDNIGHT[start.hour][minute]
            for hour in hours[bisect_right(hours, start.hour) :]:
                for minute in minutes:
                    yield day + _SINCE_MIDNIGHT[hour][minute]
            day = _next_day(days, today + _DAY)
        while day is not None:
            for hour in hours:
                for minute in minutes:
                    yield day + _SINCE_MIDNIGHT[hour][minute]
            day = _next_day(days, day + _DAY)

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the due times after `moment`, in order, each once."""
        start = local_time(moment, self.zone) - repeated_before(moment, self.zone)
        # Second instants of repeated times, in order. Later local times are due before them.
        waiting: deque[DueTime] = deque()
        last = moment
        for local in self.local_times(start):
            first, second, change = instants_of(local, self.zone)
            # No later local time is due before `first`.
            while waiting and waiting[0].at < first:
                due = waiting.popleft()
                if due.at > last:
                    last = due.at
                    yield due
            if first > last and (change is None or self._runs_first(change)):
                last = first
                yield DueTime(first, local, change)
            if change is ClockChange.REPEATED and self.repeats is not RepeatedTime.FIRST:
                waiting.append(DueTime(second, local, change))
        yield from (due for due in waiting if due.at > last)

    def _runs_first(self, change: ClockChange) -> bool:
        """Return whether a changed local time is due at its first instant."""
        if change is ClockChange.SKIPPED:
            return self.shifts
        return self.repeats is not RepeatedTime.SECOND


@lru_cache(maxsize=4096)
def _next_day(days: str, first: datetime) -> datetime | None:
    """Return the first day of an expression that is not before `first`. Both are at 00:00.

    Many schedules have the same days, and are computed at about the same time.
    """
    steps = copy.copy(_cronsim(days))
    steps.dt = first - _SECOND
    return next(steps, None)


@lru_cache(maxsize=1024)
def _cronsim(days: str) -> CronSim:
    """Return the parsed day, month and weekday, to be copied: parsing takes longer than a step."""
    return CronSim(f"0 0 {days}", datetime.min)


@dataclass(frozen=True)
class IntervalTrigger:
    """Hold an interval of elapsed time, which changes of the clocks do not affect."""

    every: timedelta
    #: A time at which the interval is due. The others lie whole intervals before and after it.
    anchor: datetime
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the due times after `moment`, in order."""
        at = self.anchor + ((moment - self.anchor) // self.every + 1) * self.every
        while True:
            yield DueTime(at, local_time(at, self.zone), None)
            at += self.every


@dataclass(frozen=True)
class DatesTrigger:
    """Hold a list of dates, sorted and in UTC."""

    dates: tuple[datetime, ...]
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the dates after `moment`, in order."""
        for at in self.dates[bisect_right(self.dates, moment) :]:
            yield DueTime(at, local_time(at, self.zone), None)


Trigger = CronTrigger | IntervalTrigger | DatesTrigger
