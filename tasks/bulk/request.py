"""Parse and validate requests for bulk operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskmaster.tasks.bulk_actions import TASK_ACTIONS, TASK_RULES, Action
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.ids import parse_ids
from taskmaster.tasks.models import Task
from taskmaster.tasks.options import priority, queue_name
from taskmaster.tasks.queries.filters import TaskFilter

#: Maximum number of ids in one operation.
MAX_IDS = 10_000
_FIELDS = ("action", "filter", "ids", "queue", "priority")


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Hold a validated request: an action and its tasks, selected by a filter or by ids.

    Exactly one of `filter` and `ids` is set.
    """

    action: Action
    filter: dict[str, str] | None = None
    #: Sorted, without duplicates.
    ids: list[int] | None = None
    queue: str = ""
    priority: int | None = None


def parse(fields: Mapping[str, object]) -> BulkRequest:
    """Validate the fields of a request.

    Raises InvalidField, or TooLarge for more than `MAX_IDS` ids.
    """
    for name in fields:
        if name not in _FIELDS:
            raise InvalidField(name, f"unknown field; valid fields are {', '.join(_FIELDS)}.")
    action = _action(fields.get("action"))
    given = {name for name in ("filter", "ids") if fields.get(name) is not None}
    if len(given) != 1:
        raise InvalidField("filter", "exactly one of filter and ids is required.")
    ids = sorted(set(parse_ids(fields["ids"], MAX_IDS))) if "ids" in given else None
    return BulkRequest(
        action,
        _filter(fields["filter"], action) if ids is None else None,
        ids,
        queue=_queue(fields.get("queue"), action),
        priority=_priority(fields.get("priority"), action),
    )


def _action(value: object) -> Action:
    if value not in TASK_ACTIONS:
        raise InvalidField("action", f"must be one of {', '.join(TASK_ACTIONS)}.")
    return Action(str(value))


def _queue(value: object, action: Action) -> str:
    if (value is not None) != (action is Action.SET_QUEUE):
        raise InvalidField(
            "queue", "is required with the action set_queue, and invalid with any other action."
        )
    return queue_name(value) if value is not None else ""


def _priority(value: object, action: Action) -> int | None:
    if (value is not None) != (action is Action.SET_PRIORITY):
        raise InvalidField(
            "priority",
            "is required with the action set_priority, and invalid with any other action.",
        )
    return priority(value) if value is not None else None


def _filter(value: object, action: Action) -> dict[str, str]:
    """Validate a filter with the names and values of the task list; {} selects every task."""
    if not isinstance(value, dict):
        raise InvalidField(
            "filter", "must be an object such as {'status': 'failed'}, or {} for every task."
        )
    given = {str(name): _text(str(name), each) for name, each in value.items()}
    filterset = TaskFilter(given, queryset=Task.objects.all())
    for name in given:
        if name not in filterset.filters:
            known = ", ".join(sorted(filterset.filters))
            raise InvalidField(f"filter.{name}", f"unknown filter; valid filters are {known}.")
    for name, rules in filterset.errors.items():
        raise InvalidField(f"filter.{name}", " ".join(map(str, rules)))
    rule = TASK_RULES[action]
    if "status" in given and rule.sources.isdisjoint(given["status"].split(",")):
        raise InvalidField("filter.status", f"is {given['status']}, but {rule.refusal}.")
    return given


def _text(name: str, value: object) -> str:
    if isinstance(value, list) and name == "status":
        value = ",".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        # The task list ignores an empty value. Here, ignoring it would select every task.
        raise InvalidField(f"filter.{name}", "must be a non-empty string.")
    return value
