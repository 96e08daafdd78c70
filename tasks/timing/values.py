"""Validate the single values of a schedule's timing: numbers, choices, and points in time."""

from __future__ import annotations

import difflib
import math
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import FARTHEST, json_type
from taskmaster.tasks.timing.local_time import ClockChange, instants_of

Choice = TypeVar("Choice", bound=StrEnum)

#: Older times are typing errors, and zones have unusual offsets before.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
#: The longest text of a point in time, with microseconds and an offset with seconds.
_MAX_TIME_TEXT = 40


def choice(value: object, field: str, kind: type[Choice]) -> Choice:
    """Validate one of the values of `kind`."""
    values = [each.value for each in kind]
    if isinstance(value, str) and value in values:
        return kind(value)
    if not isinstance(value, str):
        raise InvalidField(field, f"must be one of {', '.join(values)}, not {json_type(value)}.")
    near = difflib.get_close_matches(value[:40].lower(), values, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InvalidField(field, f"is {value[:40]!r}; it must be one of {', '.join(values)}.{hint}")


def whole_number(value: object, field: str, lowest: int, highest: int) -> int:
    """Validate an integer in a range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidField(field, f"must be a whole number, not {_shown(value)}.")
    if not lowest <= value <= highest:
        raise InvalidField(field, f"is {_shown(value)}; it must be from {lowest:,} to {highest:,}.")
    return value


def seconds(value: object, field: str, lowest: int, highest: int, note: str = "") -> float:
    """Validate a number of seconds in a range. `note` explains the range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(field, f"must be a number of seconds, not {_shown(value)}.")
    if not lowest <= value <= highest:
        raise InvalidField(
            field, f"is {_shown(value)}; it must be from {lowest:,} to {highest:,} seconds.{note}"
        )
    return float(value)


def point_in_time(value: object, field: str, zone: ZoneInfo, now: datetime) -> datetime:
    """Convert a datetime, or ISO 8601 text, to UTC. Without an offset it is local time in `zone`.

    Raise InvalidField for a local time that does not exist or occurs twice, and for a time that is
    before 1970 or more than 100 years in the future.
    """
    when = _read(value, field)
    if when.tzinfo is None:
        when = _from_local(when, field, zone)
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        raise InvalidField(field, f"is {value}, which is out of range.") from None
    if when < _EARLIEST:
        raise InvalidField(field, f"is {value}, which is before 1970.")
    if when > now + FARTHEST:
        raise InvalidField(field, f"is {value}, which is more than 100 years in the future.")
    return when


def _read(value: object, field: str) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        value = value.isoformat()
    if not isinstance(value, str):
        raise InvalidField(field, f"must be an ISO 8601 time, not {json_type(value)}.")
    text = value.strip()
    when = None
    if len(text) <= _MAX_TIME_TEXT and text.isascii():
        try:
            when = parse_datetime(text)
        except ValueError:
            when = None
    if when is None:
        raise InvalidField(field, f"{value[:40]!r} is not a time such as 2030-01-31T12:00:00Z.")
    if len(text) <= len("2030-01-31"):
        # Midnight would exclude the day if it is the end.
        raise InvalidField(field, f"{text!r} has no time of day; for example, use {text}T00:00.")
    return when


def _from_local(local: datetime, field: str, zone: ZoneInfo) -> datetime:
    if not _EARLIEST.year <= local.year < datetime.max.year:
        raise InvalidField(
            field, f"is {local}; the year must be from 1970 to {datetime.max.year - 1}."
        )
    first, second, change = instants_of(local, zone)
    if change is ClockChange.SKIPPED:
        raise InvalidField(
            field,
            f"is {local}, which does not exist in {zone.key}, because the clocks go forward. "
            f"The first time after the change is {_iso(first, zone)}.",
        )
    if change is ClockChange.REPEATED:
        raise InvalidField(
            field,
            f"is {local}, which occurs twice in {zone.key}, because the clocks go back. "
            f"Add an offset: {_iso(first, zone)} or {_iso(second, zone)}.",
        )
    return first


def _iso(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()


def shown_time(moment: datetime, zone: ZoneInfo) -> str:
    """Return an instant as local time with its offset, to the second."""
    return moment.astimezone(zone).isoformat(" ", "seconds")


def _shown(value: object) -> str:
    """Return a number, or the type of another value. Python refuses to print huge integers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json_type(value)
    if isinstance(value, float):
        return "not a number (NaN)" if math.isnan(value) else f"{value:g}"
    return f"{value:,}" if abs(value) < 10**20 else "a number of more than 20 digits"


def shown_seconds(duration: timedelta) -> str:
    """Return a duration as a number of seconds."""
    return f"{duration.total_seconds():,.6f}".rstrip("0").rstrip(".")
