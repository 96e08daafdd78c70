"""Read a description back: the minutes, hours and days that its words mean in plain English."""

from __future__ import annotations

import calendar
import re
from datetime import date

_MONTHS = {name: number for number, name in enumerate(calendar.month_name) if name}
#: Sunday is 0.
_WEEKDAYS = {name: (number + 1) % 7 for number, name in enumerate(calendar.day_name)}
_MONTH = "|".join(_MONTHS)
_WEEKDAY = "|".join(_WEEKDAYS)
_EVERY_DAY = "every day"


class Meaning:
    """Hold what a description says."""

    def __init__(self, words: str) -> None:
        self.months = set(_MONTHS.values())
        self.weekdays: set[int] | None = None
        self.days: set[int] | None = None
        self.either = False
        words = self._take_date(self._take_months(words))
        daily = re.fullmatch(r"(?P<days>(?:on|from|every day).*?) at (?P<times>\d\d:.*)", words)
        either = re.fullmatch(r"at (?P<times>\d\d:.*?), (?P<days>on .*)", words)
        if match := daily or either:
            self._read_times(match["times"])
            self._read_days(match["days"])
        else:
            match = re.fullmatch(r"(?P<often>.*?)(?:, (?P<days>(?:on|from) .*))?", words)
            assert match, words
            self._read_frequency(match["often"])
            self._read_days(match["days"] or _EVERY_DAY)

    def has_day(self, day: date) -> bool:
        in_month = self.days is None or day.day in self.days
        in_week = self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        matches = (in_month or in_week) if self.either else (in_month and in_week)
        return matches and day.month in self.months

    def _take_months(self, words: str) -> str:
        some = rf"(?:{_MONTH})"
        listed = rf"in ({some}(?:(?:, | and ){some})*)"
        match = re.fullmatch(rf"(.*), (?:{listed}|from ({some}) to ({some}))", words)
        if match is None:
            return words
        rest, names, first, last = match.groups()
        if names:
            self.months = {_MONTHS[name] for name in re.findall(some, names)}
        else:
            self.months = set(range(_MONTHS[first], _MONTHS[last] + 1))
        return rest

    def _take_date(self, words: str) -> str:
        match = re.fullmatch(rf"on (\d+) ({_MONTH}) at (.*)", words)
        if match is None:
            return words
        self.days, self.months = {int(match[1])}, {_MONTHS[match[2]]}
        return f"{_EVERY_DAY} at {match[3]}"

    def _read_times(self, text: str) -> None:
        self.times = {tuple(map(int, each)) for each in re.findall(r"(\d\d):(\d\d)", text)}

    def _read_days(self, text: str) -> None:
        if text == _EVERY_DAY:
            return
        if text == "on weekdays":
            self.weekdays = {1, 2, 3, 4, 5}
        elif match := re.fullmatch(rf"from ({_WEEKDAY}) to ({_WEEKDAY})", text):
            first, last = _WEEKDAYS[match[1]], _WEEKDAYS[match[2]] or 7
            self.weekdays = {day % 7 for day in range(first, last + 1)}
        elif match := re.fullmatch(r"on ([A-Z].*) that are the (.*) of the month", text):
            self.weekdays, self.days = _weekdays(match[1]), _numbers(match[2])
        elif match := re.fullmatch(r"on the (.*) and on ([A-Z].*)", text):
            self.days, self.weekdays, self.either = _numbers(match[1]), _weekdays(match[2]), True
        elif match := re.fullmatch(r"on the (.*)", text):
            self.days = _numbers(match[1])
        else:
            match = re.fullmatch(r"on (.*)", text)
            assert match, text
            self.weekdays = _weekdays(match[1])

    def _read_frequency(self, text: str) -> None:
        everything = range(24), range(60)
        if match := re.fullmatch(r"every (?:(\d+) )?minutes?(.*)", text):
            minutes, hours = range(0, 60, int(match[1] or 1)), self._hours(match[2])
        elif match := re.fullmatch(r"every (?:(\d+) )?hours?(?: at minutes? (.*))?", text):
            hours = set(everything[0][:: int(match[1] or 1)])
            minutes = _numbers(match[2]) if match[2] else {0}
        elif match := re.fullmatch(r"every hour from (\d\d):(\d\d) to (\d\d):\2", text):
            hours, minutes = set(range(int(match[1]), int(match[3]) + 1)), {int(match[2])}
        else:
            match = re.fullmatch(r"at minutes? (.*) of hours? (.*)", text)
            assert match, text
            minutes, hours = _numbers(match[1]), _numbers(match[2])
        self.times = {(hour, minute) for hour in hours for minute in minutes}

    def _hours(self, text: str) -> set[int]:
        if match := re.fullmatch(r" from (\d\d):00 to (\d\d):\d\d", text):
            return set(range(int(match[1]), int(match[2]) + 1))
        if match := re.fullmatch(r" of hours? (.*)", text):
            return _numbers(match[1])
        assert text == "", text
        return set(range(24))


def _weekdays(text: str) -> set[int]:
    return {_WEEKDAYS[name] for name in re.findall(rf"({_WEEKDAY})s", text)}


def _numbers(text: str) -> set[int]:
    """Return the numbers of for example "1st to 5th, 7 and 9", or "0 to 56 in steps of 7"."""
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text)
    if match := re.fullmatch(r"(\d+) to (\d+) in steps of (\d+)", text):
        return set(range(int(match[1]), int(match[2]) + 1, int(match[3])))
    found: set[int] = set()
    for part in re.split(r", | and ", text):
        first, _, last = part.partition(" to ")
        found.update(range(int(first), int(last or first) + 1))
    return found
