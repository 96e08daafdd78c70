"""What the bodies of requests must be, beyond JSON."""

from __future__ import annotations

from typing import Any

from tasks import ids
from tasks.errors import InvalidField

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
    return ids.ids_of(object_of(body).get("ids"), MAX_AT_ONCE)


def object_of(body: Any) -> dict[str, Any]:
    """The body itself. Raises InvalidField for what is no object."""
    if not isinstance(body, dict):
        raise InvalidField("body", "must be an object.")
    return body
