"""What somebody wants done to many tasks, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks import submission
from tasks.api.filters import TaskFilter
from tasks.bulk.actions import RULES, Action
from tasks.errors import InvalidField
from tasks.ids import ids_of
from tasks.models import Task

#: The most tasks that one operation may name one by one.
MAX_IDS = 10_000
_FIELDS = ("action", "filter", "ids", "queue", "priority")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An action, and the tasks that a filter selects or ids name."""

    action: Action
    filter: dict[str, str] | None = None
    #: Sorted, each once.
    ids: list[int] | None = None
    queue: str = ""
    priority: int | None = None


def parse(fields: Mapping[str, object]) -> Wanted:
    """Raises InvalidField, or TooLarge for more than `MAX_IDS` ids."""
    for name in fields:
        if name not in _FIELDS:
            raise InvalidField(name, f"unknown field; known are {', '.join(_FIELDS)}.")
    action = _action(fields.get("action"))
    given = {name for name in ("filter", "ids") if fields.get(name) is not None}
    if len(given) != 1:
        raise InvalidField("filter", "is required, or ids; not both.")
    ids = sorted(set(ids_of(fields["ids"], MAX_IDS))) if "ids" in given else None
    return Wanted(
        action,
        _filter(fields["filter"], action) if ids is None else None,
        ids,
        queue=_queue(fields.get("queue"), action),
        priority=_priority(fields.get("priority"), action),
    )


def _action(value: object) -> Action:
    try:
        return Action(str(value))
    except ValueError:
        known = ", ".join(Action)
        raise InvalidField("action", f"must be one of {known}.") from None


def _queue(value: object, action: Action) -> str:
    if (value is not None) != (action is Action.SET_QUEUE):
        raise InvalidField("queue", "goes with set_queue, which needs it.")
    return submission.queue_name(value) if value is not None else ""


def _priority(value: object, action: Action) -> int | None:
    if (value is not None) != (action is Action.SET_PRIORITY):
        raise InvalidField("priority", "goes with set_priority, which needs it.")
    return submission.priority(value) if value is not None else None


def _filter(value: object, action: Action) -> dict[str, str]:
    """Names and values as the list of tasks takes them; empty: every task."""
    if not isinstance(value, dict):
        raise InvalidField("filter", "must be an object, like {} for all or {'status': 'failed'}.")
    given = {str(name): _text(str(name), each) for name, each in value.items()}
    chosen = TaskFilter(given, queryset=Task.objects.all())
    for name in given:
        if name not in chosen.filters:
            known = ", ".join(sorted(chosen.filters))
            raise InvalidField(f"filter.{name}", f"unknown filter; known are {known}.")
    for name, rules in chosen.errors.items():
        raise InvalidField(f"filter.{name}", " ".join(map(str, rules)))
    rule = RULES[action]
    if "status" in given and rule.sources.isdisjoint(given["status"].split(",")):
        raise InvalidField("filter.status", f"is {given['status']}, but {rule.refusal}.")
    return given


def _text(name: str, value: object) -> str:
    if isinstance(value, list) and name == "status":
        value = ",".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        # In a list an empty value filters nothing; here it would hit every task.
        raise InvalidField(f"filter.{name}", "must be text, not empty.")
    return value
