"""What the bodies of requests must be, beyond JSON."""

from __future__ import annotations

from typing import Any

from tasks.errors import InvalidField, TooLarge

#: The largest id that PostgreSQL's bigint can be.
MAX_ID = 2**63 - 1
#: The most tasks that one call retries.
MAX_AT_ONCE = 1_000


def tasks_of(body: Any) -> object:
    """The tasks of a bulk: a list, or an object that has one. Raises InvalidField."""
    if isinstance(body, list):
        return body
    body = object_of(body)
    for field in body:
        if field != "tasks":
            raise InvalidField(field, "unknown field; a bulk has tasks alone.")
    if "tasks" not in body:
        raise InvalidField("tasks", "is required: a list of tasks.")
    return body["tasks"]


def ids_of(body: Any) -> list[int]:
    """The ids that a body names. Raises InvalidField or TooLarge."""
    ids = object_of(body).get("ids")
    if not isinstance(ids, list) or not ids:
        raise InvalidField("ids", "must be a list of ids, not empty.")
    if len(ids) > MAX_AT_ONCE:
        raise TooLarge("ids", f"holds {len(ids):,} ids; at most {MAX_AT_ONCE:,} at once.")
    for index, task_id in enumerate(ids):
        if isinstance(task_id, bool) or not isinstance(task_id, int) or not 0 < task_id <= MAX_ID:
            raise InvalidField(f"ids[{index}]", "must be the id of a task.")
    return ids


def object_of(body: Any) -> dict[str, Any]:
    """The body itself. Raises InvalidField for what is no object."""
    if not isinstance(body, dict):
        raise InvalidField("body", "must be an object.")
    return body
