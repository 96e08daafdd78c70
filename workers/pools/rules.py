"""What the fields of a pool may be, for whoever sets them: REST, admin, command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tasks.errors import InvalidField
from tasks.submission import queue_name
from workers.models.pool import Kind, Provider
from workers.pools.names import NAME

#: Shown in place of the value of a variable whose name tells that it is a secret; sent back, it
#: leaves the value as it is.
HIDDEN = "********"
_SECRET = re.compile(r"SECRET|TOKEN|PASS|PWD|KEY|CREDENTIAL|DSN|SHARDS|_URL$|_URI$", re.IGNORECASE)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
#: Set by the provider, from fields of the pool.
_OURS = {"TASKMASTER_SHUTDOWN_GRACE_S": "stop_limit_s"}
_ENVIRONMENT_MAX = 65_536
_WORKERS_MAX, _SLOTS_MAX, _QUEUES_MAX = 10_000, 10_000, 1_000
#: A year.
_SECONDS_MAX = 31_536_000
#: The shortest wait to be aimed at; nearer to none, no number of workers is enough.
_WAIT_MIN_S = 0.1


def whole(field: str, value: object, lowest: int, highest: int) -> int:
    """A whole number within bounds. Raises InvalidField: true and 3.0 are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        shown = repr(value)[:40]
        raise InvalidField(
            field, f"is {shown}; it must be a whole number from {lowest:,} to {highest:,}."
        )
    return value


def parse(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of a pool, checked one by one. Raises InvalidField."""
    parsed: dict[str, object] = {}
    for field, value in fields.items():
        if field not in _RULES:
            raise InvalidField(field, f"is unknown; a pool has {', '.join(_RULES)}.")
        parsed[field] = _RULES[field](field, value)
    return parsed


def check_bounds(minimum: int, desired: int, maximum: int) -> None:
    """Raises InvalidField unless each is at most the next."""
    if minimum > maximum:
        raise InvalidField("minimum", f"is {minimum}, above the maximum of {maximum}.")
    if not minimum <= desired <= maximum:
        rule = f"is {desired}; this pool takes from {minimum} to {maximum}."
        raise InvalidField("desired", rule)


def shown(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without what is secret."""
    return {name: HIDDEN if _SECRET.search(name) else value for name, value in environment.items()}


def merged(new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    """The new variables; where one is only the mark of a secret, the old value."""
    return {name: old.get(name, value) if value == HIDDEN else value for name, value in new.items()}


def _name(field: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise InvalidField(field, "must be 1 to 63 of a-z, 0-9 and -, the - only within.")
    return value


def _choice(*known: str) -> Callable[[str, object], str]:
    def rule(field: str, value: object) -> str:
        if value not in known:
            raise InvalidField(field, f"must be one of {', '.join(known)}.")
        return str(value)

    return rule


def _number(lowest: int, highest: int) -> Callable[[str, object], int]:
    return lambda field, value: whole(field, value, lowest, highest)


def _seconds(lowest: float) -> Callable[[str, object], float]:
    def rule(field: str, value: object) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # Compared as it came: an integer may be too large for a float.
        if not number or not lowest <= value <= _SECONDS_MAX:  # type: ignore[operator]
            limits = f"from {lowest:g} to {_SECONDS_MAX:,}"
            raise InvalidField(field, f"must be a number of seconds {limits}.")
        return float(value)  # type: ignore[arg-type]

    return rule


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidField(field, "must be true or false.")
    return value


def _queues(field: str, value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _QUEUES_MAX:
        raise InvalidField(field, f"must be a list of up to {_QUEUES_MAX:,} queue names.")
    return list(dict.fromkeys(queue_name(each, at=f"{field}.") for each in value))


def _environment(field: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidField(field, 'must be an object of texts, like {"TZ": "UTC"}.')
    for name, text in value.items():
        at = f"{field}.{str(name)[:100]}"
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise InvalidField(at, "is no name of a variable.")
        if name in _OURS:
            raise InvalidField(at, f"is set for each worker; {_OURS[name]} of the pool decides.")
        if not isinstance(text, str) or _UNSTORABLE.search(text):
            raise InvalidField(at, "must be text without U+0000 and halves of surrogate pairs.")
    if sum(len(name) + len(text) for name, text in value.items()) > _ENVIRONMENT_MAX:
        raise InvalidField(field, f"is longer than {_ENVIRONMENT_MAX:,} characters.")
    return dict(value)


_RULES: Mapping[str, Callable[[str, object], object]] = {
    "name": _name,
    "provider": _choice(*Provider.values),
    "desired": _number(0, _WORKERS_MAX),
    "minimum": _number(0, _WORKERS_MAX),
    "maximum": _number(0, _WORKERS_MAX),
    "concurrency": _number(1, _SLOTS_MAX),
    "kind": _choice(*Kind.values),
    "queues": _queues,
    "environment": _environment,
    "stop_limit_s": _seconds(0),
    "autoscale": _flag,
    "target_wait_s": _seconds(_WAIT_MIN_S),
    "cool_down_s": _seconds(0),
}

#: What somebody may set, in the order in which it is shown.
FIELDS = tuple(_RULES)
