"""Validate the options of declarations and submissions, and resolve them.

An option that a submission gives overrides the declaration of the task, and the declaration
overrides the settings. `taskmaster.tasks.declaration` has the options of a declaration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypedDict, cast

from django.conf import settings as django_settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.json_rules import is_encodable

MAX_QUEUE = 64
MAX_TAG = 64
MAX_TAGS = 20
MIN_PRIORITY, MAX_PRIORITY = -100, 100
MAX_ATTEMPTS = 100
#: 30 days. gRPC messages carry the time-out as milliseconds in 32 bits.
MAX_TIMEOUT_S = 30 * 86_400
#: The longest pause between two attempts: 30 days.
MAX_PAUSE_S = 30 * 86_400
#: Choices for a running task whose worker cannot reach any coordinator. The lease fences the
#: result in both cases. With `stop`, two workers never run the task concurrently.
ON_LOST_CONTACT = (CONTINUE, STOP) = ("continue", "stop")
#: The latest `scheduled_at`, counted from now. A later date is a typing error, and arithmetic with
#: it may overflow.
FARTHEST = timedelta(days=100 * 366)

#: Field of a submission by its name in Python, where the two differ.
PYTHON_NAMES = {
    "queue_name": "queue",
    "timeout": "timeout_s",
    "retry_base": "retry_base_s",
    "retry_cap": "retry_cap_s",
}

_QUEUE = re.compile(r"[\w.:-]+", re.ASCII)


class GivenOptions(TypedDict, total=False):
    """Hold the valid options that were given. An option that was not given has no key."""

    queue: str
    priority: int
    scheduled_at: datetime
    max_attempts: int
    timeout_s: float
    retry_base_s: float
    retry_cap_s: float
    on_lost_contact: str
    tags: tuple[str, ...]


class TaskOptions(NamedTuple):
    """Hold a value for each option. The fields are those of `NewTask`, in the same order."""

    queue: str
    priority: int
    #: None means now.
    scheduled_at: datetime | None
    max_attempts: int
    timeout_s: float
    retry_base_s: float
    retry_cap_s: float
    on_lost_contact: str
    tags: tuple[str, ...]

    def override(self, given: GivenOptions) -> TaskOptions:
        """Return these options with the given ones in their place.

        A pause that was not given is adjusted to the other one, so that the first pause never
        exceeds the longest.
        """
        if not given:
            return self
        options = self._replace(**given)
        if options.retry_base_s <= options.retry_cap_s:
            return options
        if "retry_cap_s" in given:
            return options._replace(retry_base_s=options.retry_cap_s)
        return options._replace(retry_cap_s=options.retry_base_s)


def default_options() -> TaskOptions:
    """Return the options of a task that declares none."""
    conf = settings()
    return TaskOptions(
        queue="default",
        priority=0,
        scheduled_at=None,
        max_attempts=conf.max_attempts,
        timeout_s=conf.timeout_s,
        retry_base_s=conf.retry_base_s,
        retry_cap_s=conf.retry_cap_s,
        on_lost_contact=CONTINUE,
        tags=(),
    )


def parse_options(fields: Mapping[str, object], *, at: str = "") -> GivenOptions:
    """Return the options among `fields`. A value of None means not given.

    `at` is the prefix of field names in errors, such as `tasks[3].`. Raise InvalidField.
    """
    given: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        if (value := fields.get(name)) is not None:
            given[name] = check(value, f"{at}{name}")
    if "retry_base_s" in given and "retry_cap_s" in given:
        base, cap = fields["retry_base_s"], fields["retry_cap_s"]
        if given["retry_base_s"] > given["retry_cap_s"]:
            raise InvalidField(
                f"{at}retry_base_s", f"is {base}; it must not exceed the longest pause, {cap}."
            )
    return cast("GivenOptions", given)


def queue_name(value: object, field: str = "queue") -> str:
    """Validate a queue name: 1 to 64 of letters, digits and . _ : -."""
    queue = short_text(value, field, MAX_QUEUE)
    if not _QUEUE.fullmatch(queue):
        raise InvalidField(field, f"is {queue!r}; it may contain only letters, digits and . _ : -.")
    return queue


def priority(value: object, field: str = "priority") -> int:
    """Validate a priority: an integer from -100 to 100, higher first."""
    return _integer(value, field, MIN_PRIORITY, MAX_PRIORITY)


def scheduled_time(value: object, field: str = "scheduled_at") -> datetime:
    """Convert a datetime or ISO 8601 text to UTC. A time in the past is due now.

    A time without a zone is in the zone of the project if USE_TZ is off. Otherwise it raises
    InvalidField, as does a time that is more than 100 years in the future.
    """
    when = _datetime(value, field)
    if when.tzinfo is None:
        if django_settings.USE_TZ:
            raise InvalidField(
                field, f"{value} has no time zone; add Z or an offset such as +02:00."
            )
        when = timezone.make_aware(when, timezone.get_default_timezone())
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        raise InvalidField(field, f"{value} is out of range.") from None
    if when > datetime.now(UTC) + FARTHEST:
        raise InvalidField(field, f"{value} is more than 100 years in the future.")
    return when


def _attempts(value: object, field: str) -> int:
    return _integer(value, field, 1, MAX_ATTEMPTS)


def _timeout(value: object, field: str) -> float:
    seconds = _seconds(value, field, MAX_TIMEOUT_S)
    if 0 < seconds < 0.001:
        raise InvalidField(field, f"is {value}; it must be 0 (none) or at least 0.001.")
    return seconds


def _pause(value: object, field: str) -> float:
    return _seconds(value, field, MAX_PAUSE_S)


def _lost_contact(value: object, field: str) -> str:
    if value not in ON_LOST_CONTACT:
        raise InvalidField(field, f"is {value!r}; it must be {' or '.join(ON_LOST_CONTACT)}.")
    return str(value)


def _tags(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidField(field, f"must be a list of strings, not {json_type(value)}.")
    if len(value) > MAX_TAGS:
        raise InvalidField(field, f"has {len(value)} tags; the limit is {MAX_TAGS}.")
    return tuple(short_text(tag, f"{field}[{index}]", MAX_TAG) for index, tag in enumerate(value))


_CHECKS: dict[str, Callable[[object, str], object]] = {
    "queue": queue_name,
    "priority": priority,
    "scheduled_at": scheduled_time,
    "max_attempts": _attempts,
    "timeout_s": _timeout,
    "retry_base_s": _pause,
    "retry_cap_s": _pause,
    "on_lost_contact": _lost_contact,
    "tags": _tags,
}


def short_text(value: object, field: str, longest: int) -> str:
    """Validate a string of 1 to `longest` characters that PostgreSQL can store."""
    if not isinstance(value, str):
        raise InvalidField(field, f"must be a string, not {json_type(value)}.")
    if not value:
        raise InvalidField(field, "must not be empty.")
    if len(value) > longest:
        raise InvalidField(field, f"has {len(value)} characters; the limit is {longest}.")
    if "\0" in value or not is_encodable(value):
        raise InvalidField(
            field, "contains U+0000 or an unpaired surrogate, which cannot be stored."
        )
    return value


def _integer(value: object, field: str, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidField(field, f"must be a whole number, not {json_type(value)}.")
    if not lowest <= value <= highest:
        raise InvalidField(field, f"is {value}; it must be from {lowest} to {highest}.")
    return value


def _seconds(value: object, field: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(field, f"must be a number of seconds, not {json_type(value)}.")
    if not 0 <= value <= most:
        raise InvalidField(field, f"is {value}; it must be from 0 (none) to {most:,}.")
    return float(value)


def _datetime(value: object, field: str) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise InvalidField(field, f"must be an ISO 8601 time, not {json_type(value)}.")
    try:
        when = parse_datetime(value)
    except ValueError:
        when = None
    if when is None:
        raise InvalidField(field, f"{value[:40]!r} is not a time such as 2030-01-31T12:00:00Z.")
    return when


def json_type(value: object) -> str:
    """Return the JSON name of the type of `value`, for an error message."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        dict: "an object",
    }
    if value is None:
        return "null"
    return names.get(type(value), "a list" if isinstance(value, list) else type(value).__name__)
