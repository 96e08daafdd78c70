"""Parse cron expressions of five fields: the syntax of Debian's cron, as cronsim reads it.

cronsim also accepts a sixth field, `L`, `W` and `#`, which are refused here, and its errors do not
name the item. `taskmaster.tasks.timing.cron_errors` suggests the nearest correct form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: February with its leap day.
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_ITEM = re.compile(r"(?:(\*)|([0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?)(?:/([0-9]+))?", re.ASCII)
#: Quartz has these for the last day, the nearest weekday, and the nth weekday of a month.
_QUARTZ = re.compile(r"lw?|l-[0-9]+|(?:[0-9]+|[a-z]{3})[lw]|.*#.*")


class CronField(NamedTuple):
    """Describe one of the five fields."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def everything(self) -> frozenset[int]:
        """Return all values of the field. Sunday is 0 only."""
        return frozenset(range(self.low, 7 if self is WEEKDAY else self.high + 1))


MINUTE = CronField("minute", 0, 59)
HOUR = CronField("hour", 0, 23)
DAY = CronField("day", 1, 31)
MONTH = CronField("month", 1, 12, _MONTHS)
WEEKDAY = CronField("weekday", 0, 7, _WEEKDAYS)
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class BadItem(Exception):
    """Report what is wrong with one item of a field, and the nearest correct item."""

    def __init__(self, field: CronField, item: str, rule: str, nearest: str | None) -> None:
        super().__init__(rule)
        self.field = field
        self.item = item
        self.rule = rule
        self.nearest = nearest


@dataclass(frozen=True)
class CronSets:
    """Hold the values of each field of a valid expression. Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: Whether a day must match both the day and the weekday. As in Debian's cron, one of the two
    #: then starts with `*`. Otherwise one match is enough.
    both_days: bool

    @cached_property
    def sorted_minutes(self) -> tuple[int, ...]:
        """Return the minutes in order."""
        return tuple(sorted(self.minutes))

    @cached_property
    def sorted_hours(self) -> tuple[int, ...]:
        """Return the hours in order."""
        return tuple(sorted(self.hours))

    @property
    def longest_month(self) -> int:
        """Return the largest number of days that one of the months has."""
        return max(DAYS_OF_MONTH[month - 1] for month in self.months)


@lru_cache(maxsize=4096)
def cron_sets(expression: str) -> CronSets:
    """Return the values of five fields in lower case. Raise BadItem."""
    texts = expression.split()
    minutes, hours, days, months, weekdays = map(_values, FIELDS, texts)
    both_days = texts[2].startswith("*") or texts[4].startswith("*")
    return CronSets(minutes, hours, days, months, weekdays, both_days)


def without_single_steps(expression: str) -> str:
    """Return a valid expression in which an item with one value has no step.

    cronsim reads `5-5/10` as `5/10`.
    """
    texts = []
    for field, text in zip(FIELDS, expression.split(), strict=True):
        items = text.split(",")
        for index, item in enumerate(items):
            values = _item_values(field, item)
            if "/" in item and len(values) == 1:
                items[index] = str(values[0])
        texts.append(",".join(items))
    return " ".join(texts)


@lru_cache(maxsize=1024)
def _values(field: CronField, text: str) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        values.update(_item_values(field, item))
    if field is WEEKDAY and 7 in values:
        values = values - {7} | {0}
    return frozenset(values)


def _item_values(field: CronField, item: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None or (field in (DAY, WEEKDAY) and _QUARTZ.fullmatch(item)):
        raise _unknown(field, item)
    star, first, last, step_text = match.groups()
    if star:
        low, high = field.low, field.high
    else:
        low = _number(field, first, item)
        high = _number(field, last, item) if last else low
        if high < low:
            raise _reversed(field, item, low, high, step_text)
        if step_text and not last:
            high = field.high
    step = int(step_text) if step_text else 1
    if not 1 <= step <= field.high - field.low:
        raise _bad_step(field, item, low, step)
    return range(low, high + 1, step)


def _number(field: CronField, text: str, item: str) -> int:
    if text.isdigit():
        number = int(text)
        if field.low <= number <= field.high:
            return number
        # Midnight is hour 0, and a full hour is minute 0. In a range, the last value is meant.
        wraps = item == text and number == field.high + 1 and field.low == 0
        near = field.low if wraps or number < field.low else field.high
        rule = f"the {field.name} must be from {field.low} to {field.high}"
        raise BadItem(field, item, rule, _replace(item, text, str(near)))
    if text in field.names:
        return field.names.index(text) + field.low
    if not field.names:
        raise _unknown(field, item)
    near_name = text[:3] if text[:3] in field.names else None
    rule = f"the names of the {field.name} are {', '.join(field.names)}"
    raise BadItem(field, item, rule, near_name and _replace(item, text, near_name))


def _replace(item: str, text: str, by: str) -> str:
    return re.sub(rf"\b{re.escape(text)}\b", by, item, count=1)


def _reversed(field: CronField, item: str, low: int, high: int, step: str | None) -> BadItem:
    """Suggest two ranges, up to the last value and from the first one on."""
    before = f"{low}-{field.high}" if low < field.high else f"{low}"
    after = f"{field.low}-{high}" if high > field.low else f"{high}"
    if field is WEEKDAY:
        # 7 is Sunday, too.
        after = {0: "", 1: "1"}.get(high, f"1-{high}")
    nearest = None if step else ",".join(filter(None, (before, after)))
    return BadItem(field, item, "a range must go up", nearest)


def _bad_step(field: CronField, item: str, low: int, step: int) -> BadItem:
    range_text, _, _ = item.partition("/")
    most = field.high - field.low
    nearest = range_text if step == 0 else str(low)
    rule = f"the step of the {field.name} must be from 1 to {most}; use interval_s for longer ones"
    return BadItem(field, item, rule, nearest)


def _unknown(field: CronField, item: str) -> BadItem:
    """Return the error for an item that is not part of the syntax."""
    if item == "":
        return BadItem(field, item, "an item of the list is empty", "")
    if item == "?":
        return BadItem(field, item, "'?' is not supported; '*' is any value", "*")
    if _QUARTZ.fullmatch(item):
        number = re.match(r"[0-9]+|[a-z]{3}", item)
        nearest = number[0] if number else "28" if field is DAY else None
        return BadItem(field, item, "'L', 'W' and '#' are not supported", nearest)
    if "~" in item or re.match(r"h\b", item):
        return BadItem(field, item, "random values are not supported; use jitter_s", None)
    names = ", a name" if field.names else ""
    low = field.low + 1
    forms = f"*, a number{names}, a range such as {low}-{low + 2}, or a step such as */2"
    return BadItem(field, item, f"the {field.name} must be {forms}", None)
