"""Define how long finished tasks, bulk operations and offline workers are kept.

The coordinator's `pruning` package deletes what is older. Everything that needs the times reads
them with `current`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from taskmaster.tasks.errors import ConfigurationError, InvalidField
from taskmaster.tasks.lifecycle import FINISHED, Status

#: Limits of a time. A shorter one could delete tasks whose results are still awaited. A longer one
#: could exceed the timestamps of PostgreSQL.
SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=36_500)

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_FORMS = "a text such as '7d', '36h' or '90m', a timedelta, or None to keep for ever"
_PARTS = ("default", "queues", "operations", "workers")
#: Time for which the API remembers an idempotency key. It is a part of the API, not a setting.
IDEMPOTENCY_KEPT = timedelta(days=1)
#: Statuses in the order of texts.
STATUSES = (Status.COMPLETE, Status.FAILED, Status.CANCELLED)
assert set(STATUSES) == FINISHED

#: Time by finished status, counted from the end of the task. None: for ever.
KeptTimes = Mapping[Status, timedelta | None]
_DEFAULT: KeptTimes = {
    Status.COMPLETE: timedelta(days=7),
    Status.FAILED: timedelta(days=30),
    Status.CANCELLED: timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Retention:
    """Hold the times for which rows are kept. None: for ever."""

    #: Times of the queues that have none of their own.
    default: KeptTimes = field(default_factory=lambda: _DEFAULT)
    #: Times by queue, each with every finished status.
    queues: Mapping[str, KeptTimes] = field(default_factory=dict)
    #: Time from the end of a bulk operation, or from the preview of one that was not confirmed.
    operations: timedelta | None = timedelta(days=30)
    #: Time from the last heartbeat of an offline worker.
    workers: timedelta | None = timedelta(days=1)

    def describe(self) -> str:
        """Return the times of finished tasks as a sentence."""
        text = _describe(self.default)
        for queue, times in sorted(self.queues.items()):
            text += f"; in the queue {queue}: {_describe(times)}"
        return f"Finished tasks are kept: {text}."

    def shortest(self) -> timedelta | None:
        """Return the shortest time for which any finished task is kept. None: all for ever."""
        kept = [
            *self.default.values(),
            *(t for each in self.queues.values() for t in each.values()),
        ]
        return min((time for time in kept if time is not None), default=None)


def current() -> Retention:
    """Return the retention of this process."""
    from taskmaster.tasks.conf import settings

    return settings().retention


def parse(name: str, raw: object) -> Retention:
    """Return the retention that a setting declares: a dict, or its JSON text.

    What it leaves out has its default. Raise ConfigurationError with the setting's `name`.
    """
    given = _object(name, _decoded(name, raw), _PARTS)
    default = {**_DEFAULT, **_times(f"{name}['default']", given.get("default", {}))}
    queues = given.get("queues", {})
    if not isinstance(queues, Mapping):
        raise _refusal(f"{name}['queues']", queues, "a dict of queues")
    fields = Retention()
    return Retention(
        default=default,
        queues={
            _queue(f"{name}['queues']", queue): {
                **default,
                **_times(f"{name}['queues']['{queue}']", times),
            }
            for queue, times in queues.items()
        },
        operations=_kept(name, given, "operations", fields.operations),
        workers=_kept(name, given, "workers", fields.workers),
    )


def format_time(kept: timedelta | None) -> str:
    """Return a time as text: `7 days`, `36 hours`, `90 minutes` or `for ever`."""
    if kept is None:
        return "for ever"
    for unit, length in (("day", _UNITS["d"]), ("hour", _UNITS["h"])):
        number, rest = divmod(kept, length)
        if not rest:
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return f"{kept / _UNITS['m']:g} minutes"


def _describe(times: KeptTimes) -> str:
    return ", ".join(f"{status} {format_time(times[status])}" for status in STATUSES)


def _decoded(name: str, raw: object) -> object:
    """Return the value of a JSON text, as environment variables have it. Return others as given."""
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise _refusal(name, raw, 'a JSON object such as {"default": {"failed": "90d"}}') from None


def _object(name: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Return a dict with no other keys than these."""
    if not isinstance(value, Mapping):
        raise _refusal(name, value, f"a dict with the keys {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise ConfigurationError(
                f"TASKMASTER: {name} has the key {key!r}; valid keys are {', '.join(keys)}."
            )
    return value


def _times(name: str, value: object) -> dict[Status, timedelta | None]:
    """Return the times that a dict gives for finished statuses."""
    given = _object(name, value, tuple(STATUSES))
    return {
        Status(status): _duration(f"{name}['{status}']", time) for status, time in given.items()
    }


def _kept(
    name: str, given: Mapping[str, Any], key: str, default: timedelta | None
) -> timedelta | None:
    return _duration(f"{name}['{key}']", given[key]) if key in given else default


def _duration(name: str, value: object) -> timedelta | None:
    if value is None:
        return None
    kept = value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        kept = min(float(match[1]), LONGEST / _UNITS["m"]) * _UNITS[match[2]]
    if not isinstance(kept, timedelta):
        raise _refusal(name, value, _FORMS)
    if not SHORTEST <= kept <= LONGEST:
        raise _refusal(
            name,
            str(value),
            f"from 1 hour to {LONGEST.days:,} days; use None to keep for ever",
        )
    return kept


def _queue(name: str, queue: object) -> str:
    from taskmaster.tasks.options import queue_name

    try:
        return queue_name(queue, name)
    except InvalidField as error:
        raise ConfigurationError(f"TASKMASTER: {name}: a queue name {error.rule}") from None


def _refusal(name: str, value: object, rule: str) -> ConfigurationError:
    return ConfigurationError(f"TASKMASTER: {name} is {value!r}; it must be {rule}.")
