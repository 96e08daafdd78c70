"""Convert the crontabs of Celery to cron expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from taskmaster.tasks.errors import InvalidField

#: Python refuses to convert texts of thousands of digits.
_MAX_DIGITS = 9
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Field(NamedTuple):
    """Hold the name and the range of a field."""

    name: str
    lowest: int
    highest: int


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day_of_month", 1, 31)
_MONTH = _Field("month_of_year", 1, 12)
_WEEKDAY = _Field("day_of_week", 0, 6)


def cron_expression(
    minute: object, hour: object, day_of_month: object, month_of_year: object, day_of_week: object
) -> str:
    """Return the cron expression that is due at the same times. Raise InvalidField.

    A value is a number, a text in Celery's syntax, or a collection of numbers.
    """
    day, weekday = _convert(_DAY, day_of_month), _convert(_WEEKDAY, day_of_week)
    if day != "*" and weekday != "*":
        raise InvalidField(
            "crontab",
            f"has the day of month {day} and the day of week {weekday}. Celery requires both, but "
            "a cron expression is due on either of them.",
        )
    rest = [_convert(*each) for each in ((_MINUTE, minute), (_HOUR, hour), (_MONTH, month_of_year))]
    return f"{rest[0]} {rest[1]} {day} {rest[2]} {weekday}"


def _convert(field: _Field, value: object) -> str:
    """Return a field of the cron expression.

    Celery allows what cron does not: long names of weekdays, and ranges over the end such as 22-2.
    """
    text = str(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        text = ",".join(map(str, sorted(value)))
    text = text.replace(" ", "").lower() or "*"
    numbers = sorted({number for part in text.split(",") for number in _expand(field, part)})
    if len(numbers) == field.highest - field.lowest + 1:
        return "*"
    if all(each in "0123456789*/-," for each in text) and not _has_wrap(text):
        return text
    return ",".join(_ranges(numbers))


def _ranges(numbers: list[int]) -> Iterator[str]:
    """Yield the numbers, with a range for three and more in a row."""
    # Numbers in a row have the same distance to their positions.
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        row = [number for _, number in group]
        if len(row) > 2:
            yield f"{row[0]}-{row[-1]}"
        else:
            yield from map(str, row)


def _has_wrap(text: str) -> bool:
    for part in text.split(","):
        first, dash, last = part.partition("/")[0].partition("-")
        if dash and int(last) < int(first):
            return True
    return False


def _expand(field: _Field, part: str) -> list[int]:
    """Return the numbers of one part, such as `*/15`, `1-5`, `mon` or `7`."""
    chosen, slash, step = part.partition("/")
    first, dash, last = chosen.partition("-")
    everything = list(range(field.lowest, field.highest + 1))
    if chosen == "*":
        numbers = everything
    elif not dash:
        numbers = [_number(field, first, part)]
    else:
        start, end = _number(field, first, part), _number(field, last, part)
        numbers = [*range(start, end + 1)] or [
            *range(start, field.highest + 1),
            *range(field.lowest, end + 1),
        ]
    if not slash:
        return numbers
    if not _is_number(step) or int(step) == 0:
        raise InvalidField(field.name, f"is {part[:40]!r}; the step must be a number above 0.")
    return numbers[:: int(step)]


def _number(field: _Field, text: str, part: str) -> int:
    if field is _WEEKDAY and text[:3] in _WEEKDAYS:
        return _WEEKDAYS.index(text[:3])
    if not _is_number(text) or not field.lowest <= int(text) <= field.highest:
        raise InvalidField(
            field.name, f"is {part[:40]!r}; it must be from {field.lowest} to {field.highest}."
        )
    return int(text)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MAX_DIGITS
