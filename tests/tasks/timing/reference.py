"""Compute due times by brute force, independent of the code under test and of cronsim.

Every minute of UTC is visited, and its local time is compared with the sets of the expression.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = {
    name: number
    for names, first in (
        ("jan feb mar apr may jun jul aug sep oct nov dec", 1),
        ("sun mon tue wed thu fri sat", 0),
    )
    for number, name in enumerate(names.split(), first)
}


def _values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for item in text.lower().split(","):
        where, slash, step = item.partition("/")
        first, dash, last = where.partition("-")
        if where == "*":
            start, end = low, high
        else:
            start = _NAMES[first] if first in _NAMES else int(first)
            end = start
            if dash:
                end = _NAMES[last] if last in _NAMES else int(last)
            elif slash:
                end = high
        value = start
        while value <= end:
            found.add(value)
            value += int(step) if slash else 1
    return found


class Expression:
    """Hold the sets of an expression, as crontab(5) defines them."""

    def __init__(self, text: str) -> None:
        fields = text.split()
        self.sets = [_values(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)]
        self.minutes, self.hours, self.days, self.months, weekdays = self.sets
        self.weekdays = {day % 7 for day in weekdays}
        self.starred_days = fields[2][0] == "*" or fields[4][0] == "*"
        self.wildcard = fields[0][0] == "*" or fields[1][0] == "*"

    def has_day(self, day: date) -> bool:
        in_month = day.day in self.days
        in_week = day.isoweekday() % 7 in self.weekdays
        matches = (in_month and in_week) if self.starred_days else (in_month or in_week)
        return matches and day.month in self.months

    def has(self, local: datetime) -> bool:
        return local.minute in self.minutes and local.hour in self.hours and self.has_day(local)


class Minutes:
    """Hold every minute of a range of UTC with its local time, and the minutes that are skipped."""

    def __init__(self, zone: ZoneInfo, start: datetime, end: datetime) -> None:
        #: By local date, hour and minute: the instants at which the clocks show it, in order.
        self.by_day: dict[date, dict[int, dict[int, list[datetime]]]] = {}
        #: Local times that do not exist, and the first instant after them.
        self.skipped: list[tuple[datetime, datetime]] = []
        self.start, self.end = start, end
        # Repeated times need their other instant, too.
        utc, before = start - timedelta(hours=4), None
        while utc <= end + timedelta(hours=4):
            local = utc.astimezone(zone).replace(tzinfo=None, fold=0)
            hours = self.by_day.setdefault(local.date(), {})
            hours.setdefault(local.hour, {}).setdefault(local.minute, []).append(utc)
            if before is not None:
                missing = before + MINUTE
                while missing < local:
                    self.skipped.append((missing, utc))
                    missing += MINUTE
            before = local
            utc += MINUTE

    def due(self, text: str, skipped: str = "cron", repeated: str = "cron") -> list[datetime]:
        """Return the instants at which the expression is due, from start to end."""
        expression = Expression(text)
        if skipped == "cron":
            skipped = "skip" if expression.wildcard else "shift"
        if repeated == "cron":
            repeated = "both" if expression.wildcard else "first"
        found = set(self._existing(expression, repeated))
        if skipped == "shift":
            found.update(utc for local, utc in self.skipped if expression.has(local))
        ordered = sorted(found)
        return ordered[bisect_left(ordered, self.start) : bisect_right(ordered, self.end)]

    def _existing(self, expression: Expression, repeated: str) -> Iterator[datetime]:
        chosen = {"first": slice(0, 1), "second": slice(-1, None), "both": slice(None)}[repeated]
        for day, hours in self.by_day.items():
            if expression.has_day(day):
                for hour in expression.hours & hours.keys():
                    minutes = hours[hour]
                    for minute in expression.minutes & minutes.keys():
                        yield from minutes[minute][chosen]


def utc(year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)
