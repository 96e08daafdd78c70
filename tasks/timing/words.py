"""Describe in plain English when a schedule is due.

The words follow from the values of the fields, not from how they are written: `0-59/5` and `*/5`
have the same. What has no short form is described in a general one, which is always right.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import groupby

from taskmaster.tasks.timing.cron import DAY, HOUR, MINUTE, MONTH, WEEKDAY, CronSets
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import CronTrigger, DatesTrigger, IntervalTrigger

#: The largest number of times of day that are listed.
_MOST_TIMES = 4
#: The largest number of ranges and single values that are listed before steps are tried.
_MOST_PARTS = 6


def describe(timing: Timing) -> str:
    """Return for example "every day at 02:30", "every 5 minutes" or "on 3 dates"."""
    match timing.trigger:
        case CronTrigger() as cron:
            return describe_cron(cron.sets)
        case IntervalTrigger() as interval:
            return f"every {_duration(interval.every)}"
        case DatesTrigger() as dates:
            return "on one date" if len(dates.dates) == 1 else f"on {len(dates.dates):,} dates"


def listed(texts: Iterable[str]) -> str:
    """Return for example "a, b and c"."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def describe_cron(sets: CronSets) -> str:
    """Return the words for a cron expression. Times are local times."""
    days, either = _days(sets)
    months = "" if sets.months == MONTH.everything else _months(sets.months)
    if times := _times_of_day(sets):
        is_date = days and sets.weekdays == WEEKDAY.everything
        if is_date and len(sets.days) == len(sets.months) == 1:
            return f"on {_date(sets)} at {times}"
        # After two kinds of days, the time would seem to belong to the second one only.
        text = f"at {times}, {days}" if either else f"{days or 'every day'} at {times}"
    else:
        text = _frequency(sets) + (f", {days}" if days else "")
    return f"{text}, {months}" if months else text


def _times_of_day(sets: CronSets) -> str:
    """Return the times of the day, or "" if they are too many."""
    if len(sets.minutes) * len(sets.hours) > _MOST_TIMES:
        return ""
    return listed(
        f"{hour:02}:{minute:02}" for hour in sorted(sets.hours) for minute in sorted(sets.minutes)
    )


def _frequency(sets: CronSets) -> str:
    """Return the words for more times of day than are listed."""
    minutes, hours = sorted(sets.minutes), sorted(sets.hours)
    step = _whole_step(minutes, len(MINUTE.everything))
    every = f"every {step} minutes" if step and step > 1 else "every minute"
    at = "" if minutes == [0] else f" at {_counted('minute', minutes)}"
    if sets.hours == HOUR.everything:
        return every if step else f"every hour{at}"
    if _is_range(hours) and (step or len(minutes) == 1):
        first, last = f"{hours[0]:02}:{minutes[0]:02}", f"{hours[-1]:02}:{minutes[-1]:02}"
        return f"{every if step else 'every hour'} from {first} to {last}"
    if len(minutes) == 1 and (hour_step := _whole_step(hours, len(HOUR.everything))):
        return f"every {hour_step} hours{at}"
    if step:
        return f"{every} of {_counted('hour', hours)}"
    return f"at {_counted('minute', minutes)} of {_counted('hour', hours)}"


def _days(sets: CronSets) -> tuple[str, bool]:
    """Return the days, and whether they are of two kinds. "" is every day."""
    every_day = sets.days == DAY.everything
    every_weekday = sets.weekdays == WEEKDAY.everything
    if (every_day and every_weekday) or (not sets.both_days and (every_day or every_weekday)):
        return "", False
    if every_day:
        return _weekdays(sets.weekdays), False
    if every_weekday:
        return _days_of_month(sets.days), False
    weekdays = listed(_weekday_names(sets.weekdays))
    if sets.both_days:
        return f"on {weekdays} that are {_ordinals(sets.days)} of the month", False
    return f"{_days_of_month(sets.days)} and on {weekdays}", True


def _weekdays(weekdays: frozenset[int]) -> str:
    if weekdays == {1, 2, 3, 4, 5}:
        return "on weekdays"
    order = _from_monday(weekdays)
    if _is_range(order) and len(order) > 2:
        return f"from {calendar.day_name[order[0]]} to {calendar.day_name[order[-1]]}"
    return f"on {listed(_weekday_names(weekdays))}"


def _weekday_names(weekdays: frozenset[int]) -> list[str]:
    return [f"{calendar.day_name[day]}s" for day in _from_monday(weekdays)]


def _from_monday(weekdays: frozenset[int]) -> list[int]:
    return sorted((day - 1) % 7 for day in weekdays)


def _days_of_month(days: frozenset[int]) -> str:
    return f"on {_ordinals(days)}"


def _ordinals(days: frozenset[int]) -> str:
    return f"the {_parts(sorted(days), _ordinal)}"


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 11 <= number <= 13 else endings.get(number % 10, 'th')}"


def _date(sets: CronSets) -> str:
    (day,), (month,) = sets.days, sets.months
    return f"{day} {calendar.month_name[month]}"


def _months(months: frozenset[int]) -> str:
    order = sorted(months)
    if _is_range(order) and len(order) > 2:
        return f"from {calendar.month_name[order[0]]} to {calendar.month_name[order[-1]]}"
    return f"in {listed(calendar.month_name[month] for month in order)}"


def _counted(noun: str, values: Sequence[int]) -> str:
    return f"{noun}{'s' * (len(values) > 1)} {_parts(values, str)}"


def _parts(values: Sequence[int], name: Callable[[int], str]) -> str:
    """Return the values as ranges and single values, or as steps where that is shorter."""
    runs = _runs(values)
    step = values[1] - values[0] if len(values) > 1 else 0
    if len(runs) > _MOST_PARTS and list(values) == list(range(values[0], values[-1] + 1, step)):
        return f"{name(values[0])} to {name(values[-1])} in steps of {step}"
    parts: list[str] = []
    for run in runs:
        if len(run) > 2:
            parts.append(f"{name(run[0])} to {name(run[-1])}")
        else:
            parts.extend(map(name, run))
    return listed(parts)


def _runs(values: Sequence[int]) -> list[list[int]]:
    """Return the values as lists without gaps."""
    groups = groupby(enumerate(values), lambda pair: pair[1] - pair[0])
    return [[value for _, value in group] for _, group in groups]


def _is_range(values: Sequence[int]) -> bool:
    return len(values) == values[-1] - values[0] + 1


def _whole_step(values: Sequence[int], size: int) -> int | None:
    """Return the step if the values are 0, step, 2 step, … and the step divides `size`."""
    step = size // len(values)
    return step if step < size and list(values) == list(range(0, size, step)) else None


def _duration(every: timedelta) -> str:
    """Return a number of the largest unit that fits. A day may have 23 or 25 hours."""
    units = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}
    microseconds = every // timedelta(microseconds=1)
    for unit, size in units.items():
        count, rest = divmod(microseconds, size)
        if rest == 0:
            return unit if count == 1 else f"{count:,} {unit}s"
    return f"{every.total_seconds():,.6f}".rstrip("0") + " seconds"
