"""Validate the fields of a pool for REST, admin and command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import queue_name
from taskmaster.workers.models.pool import Executor, ProviderName
from taskmaster.workers.names import is_pool_name

#: Shown in place of the value of a variable whose name indicates a secret. A value that equals this
#: mark leaves the stored value unchanged.
HIDDEN = "********"
_SECRET = re.compile(r"SECRET|TOKEN|PASS|PWD|KEY|CREDENTIAL|DSN|SHARDS|_URL$|_URI$", re.IGNORECASE)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
#: Variables that the provider sets, and the pool fields that determine them.
_OURS = {"TASKMASTER_SHUTDOWN_GRACE_S": "stop_limit_s"}
_ENVIRONMENT_MAX = 65_536
_WORKERS_MAX, _SLOTS_MAX, _QUEUES_MAX = 10_000, 10_000, 1_000
#: One year.
_SECONDS_MAX = 31_536_000
#: Shortest target wait. No number of workers could achieve a shorter one.
_WAIT_MIN_S = 0.1


def whole(field: str, value: object, lowest: int, highest: int) -> int:
    """Return the value if it is an integer within the bounds.

    Raises InvalidField. True and 3.0 are not accepted.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        shown = repr(value)[:40]
        raise InvalidField(
            field, f"is {shown}; it must be a whole number from {lowest:,} to {highest:,}."
        )
    return value


def parse(fields: Mapping[str, object]) -> dict[str, object]:
    """Check the fields of a pool one by one and return them. Raises InvalidField."""
    parsed: dict[str, object] = {}
    for field, value in fields.items():
        if field not in _RULES:
            raise InvalidField(field, f"unknown field; valid fields are {', '.join(_RULES)}.")
        parsed[field] = _RULES[field](field, value)
    return parsed


def check_bounds(minimum: int, desired: int, maximum: int) -> None:
    """Raise InvalidField unless minimum <= desired <= maximum."""
    if minimum > maximum:
        raise InvalidField("minimum", f"is {minimum}, above the maximum of {maximum}.")
    if not minimum <= desired <= maximum:
        rule = f"is {desired}; it must be from {minimum} to {maximum} for this pool."
        raise InvalidField("desired", rule)


def shown(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the values of secrets hidden."""
    return {name: HIDDEN if _SECRET.search(name) else value for name, value in environment.items()}


def permitted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the setting `pool_environment` lists.

    A pool may have been stored before a name was removed from the setting.
    """
    names = settings().pool_environment
    return {name: value for name, value in environment.items() if name in names}


def merged(new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    """Return the new variables. A hidden secret keeps its old value."""
    return {name: old.get(name, value) if value == HIDDEN else value for name, value in new.items()}


def _name(field: str, value: object) -> str:
    if not isinstance(value, str) or not is_pool_name(value):
        raise InvalidField(
            field, "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -."
        )
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
        # The value is compared before its conversion: an integer may be too large for a float.
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
    return list(dict.fromkeys(queue_name(each, f"{field}.queue") for each in value))


def _environment(field: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidField(field, 'must be an object whose values are strings, like {"TZ": "UTC"}.')
    for name, text in value.items():
        at = f"{field}.{str(name)[:100]}"
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise InvalidField(
                at,
                "is not a valid variable name: use letters, digits and _, not starting with a "
                "digit.",
            )
        if name in _OURS:
            raise InvalidField(
                at, f"is set by TaskMaster; change {_OURS[name]} of the pool instead."
            )
        if name not in settings().pool_environment:
            allowed = ", ".join(sorted(settings().pool_environment)) or "none"
            raise InvalidField(
                at,
                "is not in the setting pool_environment, which lists the variables that a pool may "
                f"set: {allowed}.",
            )
        if not isinstance(text, str) or _UNSTORABLE.search(text):
            raise InvalidField(at, "must be text without U+0000 and lone surrogates.")
    if sum(len(name) + len(text) for name, text in value.items()) > _ENVIRONMENT_MAX:
        raise InvalidField(
            field, f"is too long; the limit is {_ENVIRONMENT_MAX:,} characters in total."
        )
    return dict(value)


_RULES: Mapping[str, Callable[[str, object], object]] = {
    "name": _name,
    "provider": _choice(*ProviderName.values),
    "desired": _number(0, _WORKERS_MAX),
    "minimum": _number(0, _WORKERS_MAX),
    "maximum": _number(0, _WORKERS_MAX),
    "concurrency": _number(1, _SLOTS_MAX),
    "executor": _choice(*Executor.values),
    "queues": _queues,
    "environment": _environment,
    "stop_limit_s": _seconds(0),
    "autoscale": _flag,
    "target_wait_s": _seconds(_WAIT_MIN_S),
    "cool_down_s": _seconds(0),
}

#: Fields that users may set, in display order.
FIELDS = tuple(_RULES)
