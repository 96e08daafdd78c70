"""What may be submitted: one set of rules for Python, REST, gRPC, admin and command line.

`parse` turns the fields of a submission into a `NewTask` or raises an error that names the field
and the rule. Nothing here touches the database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime

from tasks import registry
from tasks.conf import settings
from tasks.errors import InvalidField, TooLarge

MAX_NAME = 200
MAX_QUEUE = 64
MAX_TAG = 64
MAX_TAGS = 20
#: Levels of lists and objects in arguments: far below what would exhaust a stack on the way.
MAX_DEPTH = 100
MIN_PRIORITY, MAX_PRIORITY = -100, 100
MAX_ATTEMPTS = 100
#: 30 days: the wire carries milliseconds in 32 bits.
MAX_TIMEOUT_S = 30 * 86_400
#: The longest pause between two attempts.
MAX_PAUSE_S = 30 * 86_400
#: What a worker does with a task when it cannot reach any coordinator: its result is fenced in any
#: case, and what is stopped is never run by two at once.
ON_LOST_CONTACT = (CONTINUE, STOP) = ("continue", "stop")
#: What a request may need from the caller's clock to ours before "now" counts as the past.
TRANSIT = timedelta(seconds=1)
#: Beyond it a date is a slip of the pen, and arithmetic with it may overflow.
FARTHEST = timedelta(days=100 * 366)

FIELDS = (
    "name",
    "args",
    "kwargs",
    "queue",
    "priority",
    "scheduled_at",
    "max_attempts",
    "timeout_s",
    "retry_base_s",
    "retry_cap_s",
    "on_lost_contact",
    "tags",
)
_QUEUE = re.compile(r"[\w.:-]+", re.ASCII)
#: One encoder for all: `json.dumps` makes one for each call that is not of the standard kind.
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
#: The escape of U+0000 in JSON text, behind an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class NewTask:
    """A valid submission. `args` and `kwargs` are JSON text; `scheduled_at` None means now."""

    name: str
    args: str = "[]"
    kwargs: str = "{}"
    queue: str = "default"
    priority: int = 0
    scheduled_at: datetime | None = None
    max_attempts: int = 3
    timeout_s: float = 3600.0
    retry_base_s: float = 1.0
    retry_cap_s: float = 600.0
    on_lost_contact: str = CONTINUE
    tags: tuple[str, ...] = ()


def parse(fields: Mapping[str, object], *, at: str = "", now: datetime | None = None) -> NewTask:
    """The task that these fields describe; absent ones take their default.

    `{"command": …}` alone is the short form of a shell task. `at` stands before each field's
    name in an error (`tasks[3].`). Raises InvalidField, TooLarge or UnknownTaskName.
    """
    if not isinstance(fields, Mapping):
        raise InvalidField(at.rstrip(".") or "body", "must be an object with the fields of a task.")
    fields = _expand_command(fields, at)
    for field in fields:
        if field not in FIELDS:
            raise InvalidField(f"{at}{field}", f"unknown field; known are {', '.join(FIELDS)}.")
    name = _name(fields.get("name"), at)
    args, kwargs = payload(fields.get("args"), fields.get("kwargs"), at=at)
    if name == registry.SHELL:
        _check_shell(fields, at)
    base_s, cap_s = pauses(fields.get("retry_base_s"), fields.get("retry_cap_s"), at=at)
    return NewTask(
        name=name,
        args=args,
        kwargs=kwargs,
        queue=queue_name(fields.get("queue"), at=at),
        priority=priority(fields.get("priority"), at=at),
        scheduled_at=scheduled_time(fields.get("scheduled_at"), at=at, now=now),
        max_attempts=attempts(fields.get("max_attempts"), at=at),
        timeout_s=timeout(fields.get("timeout_s"), at=at),
        retry_base_s=base_s,
        retry_cap_s=cap_s,
        on_lost_contact=lost_contact(fields.get("on_lost_contact"), at=at),
        tags=tag_list(fields.get("tags"), at=at),
    )


def parse_many(submissions: object) -> list[NewTask]:
    """All of them or none. Raises what `parse` raises, and TooLarge above `bulk_max_tasks`."""
    if not isinstance(submissions, Sequence) or isinstance(submissions, str | bytes):
        raise InvalidField("tasks", "must be a list of tasks.")
    check_bulk_size(len(submissions))
    return [parse(each, at=f"tasks[{index}].") for index, each in enumerate(submissions)]


def check_bulk_size(count: int) -> None:
    """Raises InvalidField for an empty bulk, TooLarge above `bulk_max_tasks`."""
    limit = settings().bulk_max_tasks
    if count == 0:
        raise InvalidField("tasks", "must hold at least one task.")
    if count > limit:
        raise TooLarge("tasks", f"holds {count:,} tasks; at most {limit:,} at once.")


def payload(args: object, kwargs: object, *, at: str = "") -> tuple[str, str]:
    """The JSON text of args (a list) and kwargs (an object), within `args_max_bytes` together."""
    args = [] if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(args, list | tuple):
        raise InvalidField(f"{at}args", f"must be a list, not {_kind(args)}.")
    if not isinstance(kwargs, dict):
        raise InvalidField(f"{at}kwargs", f"must be an object, not {_kind(kwargs)}.")
    for key in kwargs:
        if not isinstance(key, str):
            raise InvalidField(f"{at}kwargs", f"names must be strings, not {_kind(key)}.")
    texts = _json(args, f"{at}args"), _json(kwargs, f"{at}kwargs")
    size, limit = sum(len(text.encode()) for text in texts), settings().args_max_bytes
    if size > limit:
        raise TooLarge(
            f"{at}args",
            f"args and kwargs take {size:,} bytes of JSON; at most {limit:,} are allowed.",
        )
    return texts


def queue_name(value: object, *, at: str = "") -> str:
    """A queue's name: 1 to 64 letters, digits, and . _ : -"""
    if value is None:
        return "default"
    queue = _text(value, f"{at}queue", MAX_QUEUE)
    if not _QUEUE.fullmatch(queue):
        raise InvalidField(f"{at}queue", "may hold letters, digits and . _ : - only.")
    return queue


def priority(value: object, *, at: str = "") -> int:
    """A whole number from -100 to 100, higher first; 0 when absent."""
    if value is None:
        return 0
    return _whole(value, f"{at}priority", MIN_PRIORITY, MAX_PRIORITY)


def attempts(value: object, *, at: str = "") -> int:
    """A whole number from 1 to 100; the setting `max_attempts` when absent."""
    if value is None:
        return settings().max_attempts
    return _whole(value, f"{at}max_attempts", 1, MAX_ATTEMPTS)


def timeout(value: object, *, at: str = "") -> float:
    """Seconds, 0 for none; the setting `timeout_s` when absent."""
    if value is None:
        return settings().timeout_s
    seconds = _seconds(value, f"{at}timeout_s", MAX_TIMEOUT_S)
    if 0 < seconds < 0.001:
        raise InvalidField(f"{at}timeout_s", f"is {value}; the shortest time-out is 0.001.")
    return seconds


def pauses(base: object, cap: object, *, at: str = "") -> tuple[float, float]:
    """The first and the longest pause between attempts in seconds; the settings' when absent."""
    conf = settings()
    base_s = _seconds(base, f"{at}retry_base_s", MAX_PAUSE_S) if base is not None else None
    cap_s = _seconds(cap, f"{at}retry_cap_s", MAX_PAUSE_S) if cap is not None else None
    if base_s is not None and cap_s is not None and base_s > cap_s:
        raise InvalidField(f"{at}retry_base_s", f"is {base}, above retry_cap_s, which is {cap}.")
    if cap_s is None:
        cap_s = max(conf.retry_cap_s, base_s or 0)
    return (min(conf.retry_base_s, cap_s) if base_s is None else base_s), cap_s


def lost_contact(value: object, *, at: str = "") -> str:
    """What a worker does with the task when it loses contact: `continue` (default) or `stop`."""
    if value is None:
        return CONTINUE
    if value not in ON_LOST_CONTACT:
        raise InvalidField(
            f"{at}on_lost_contact", f"is {value!r}; it must be {' or '.join(ON_LOST_CONTACT)}."
        )
    return str(value)


def tag_list(value: object, *, at: str = "") -> tuple[str, ...]:
    """Up to 20 tags of 1 to 64 characters."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidField(f"{at}tags", f"must be a list of strings, not {_kind(value)}.")
    if len(value) > MAX_TAGS:
        raise InvalidField(f"{at}tags", f"holds {len(value)} tags; at most {MAX_TAGS} are allowed.")
    return tuple(_text(tag, f"{at}tags[{index}]", MAX_TAG) for index, tag in enumerate(value))


def scheduled_time(value: object, *, at: str = "", now: datetime | None = None) -> datetime | None:
    """A time with its zone, not in the past: a datetime, or ISO 8601 text."""
    if value is None:
        return None
    field = f"{at}scheduled_at"
    when = _datetime(value, field)
    if when.tzinfo is None:
        raise InvalidField(field, f"{value} has no zone; add Z or an offset like +02:00.")
    now = now or datetime.now(UTC)
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        raise InvalidField(field, f"{value} is too far away.") from None
    if when < now - TRANSIT:
        raise InvalidField(field, f"{value} lies in the past; leave it out to start now.")
    if when > now + FARTHEST:
        raise InvalidField(field, f"{value} is more than 100 years away.")
    return when


def _expand_command(fields: Mapping[str, object], at: str) -> Mapping[str, object]:
    if "command" not in fields or "name" in fields:
        return fields
    for field in ("args", "kwargs"):
        if field in fields:
            raise InvalidField(
                f"{at}{field}", "does not go with command, the short form; use name and kwargs."
            )
    shell = {key: fields[key] for key in ("command", "cwd", "env") if key in fields}
    rest = {key: value for key, value in fields.items() if key not in shell}
    return {"name": registry.SHELL, "kwargs": shell, **rest}


def _name(value: object, at: str) -> str:
    if value is None:
        raise InvalidField(f"{at}name", "is required: a registered task, or shell.")
    name = _text(value, f"{at}name", MAX_NAME)
    try:
        registry.require(name)
    except InvalidField as error:
        raise type(error)(f"{at}name", error.rule) from None
    return name


def _check_shell(fields: Mapping[str, object], at: str) -> None:
    """A script, or a list of arguments; `cwd` and `env` beside it."""
    if fields.get("args"):
        raise InvalidField(f"{at}args", "a shell task has none; put the command into kwargs.")
    kwargs = fields.get("kwargs")
    assert isinstance(kwargs, dict | None)
    kwargs = kwargs or {}
    for key in kwargs:
        if key not in ("command", "cwd", "env"):
            raise InvalidField(
                f"{at}kwargs.{key}", "unknown; a shell task has command, cwd and env."
            )
    command, where = kwargs.get("command"), f"{at}kwargs.command"
    if not (
        (isinstance(command, str) and command.strip())
        or (isinstance(command, list) and command and _strings(command) and command[0])
    ):
        raise InvalidField(
            where, "must be a script (text) or a list of arguments (texts), not empty."
        )
    cwd, env = kwargs.get("cwd"), kwargs.get("env")
    if cwd is not None and not (isinstance(cwd, str) and cwd):
        raise InvalidField(f"{at}kwargs.cwd", "must be the path of a folder.")
    if env is not None and not (
        isinstance(env, dict)
        and _strings([*env, *env.values()])
        and all(key and "=" not in key for key in env)
    ):
        raise InvalidField(
            f"{at}kwargs.env", "must be an object of texts; names are not empty and hold no =."
        )


def _strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _text(value: object, field: str, longest: int) -> str:
    if not isinstance(value, str):
        raise InvalidField(field, f"must be text, not {_kind(value)}.")
    if not value:
        raise InvalidField(field, "must not be empty.")
    if len(value) > longest:
        raise InvalidField(field, f"has {len(value)} characters; at most {longest} are allowed.")
    if "\0" in value or not _encodable(value):
        raise InvalidField(field, "holds U+0000 or half a surrogate pair, which cannot be stored.")
    return value


def _whole(value: object, field: str, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidField(field, f"must be a whole number, not {_kind(value)}.")
    if not lowest <= value <= highest:
        raise InvalidField(field, f"is {value}; it must be from {lowest} to {highest}.")
    return value


def _seconds(value: object, field: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidField(field, f"must be a number of seconds, not {_kind(value)}.")
    if not 0 <= value <= most:
        raise InvalidField(field, f"is {value}; it must be from 0 (none) to {most:,}.")
    return float(value)


def _datetime(value: object, field: str) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise InvalidField(field, f"must be a time like 2030-01-31T12:00:00Z, not {_kind(value)}.")
    try:
        when = parse_datetime(value)
    except ValueError:
        when = None
    if when is None:
        raise InvalidField(field, f"{value[:40]!r} is no time like 2030-01-31T12:00:00Z.")
    return when


def _json(value: object, field: str) -> str:
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(field, f"is no JSON: {error}.") from None
    # Most texts have fewer brackets in all.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidField(field, f"is nested more than {MAX_DEPTH} levels deep.")
    if _NUL.search(text) or not _encodable(text):
        raise InvalidField(field, "holds U+0000 or half a surrogate pair, which cannot be stored.")
    return text


def _is_deeper(value: object, levels: int) -> bool:
    """Whether it has more levels of lists and objects; without recursion."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for each in level
            if isinstance(each, list | tuple | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, list | tuple | dict) for each in level)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    """What a JSON user calls this type."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        dict: "an object",
    }
    if value is None:
        return "null"
    return names.get(type(value), "a list" if isinstance(value, list) else type(value).__name__)
