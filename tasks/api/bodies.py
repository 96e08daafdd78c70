"""Check the structure of request bodies, beyond valid JSON."""

from __future__ import annotations

from typing import Any

from taskmaster.tasks import ids
from taskmaster.tasks.errors import InvalidField

#: Maximum number of tasks that one call retries.
MAX_RETRIES = 1_000


def require_tasks(body: Any) -> object:
    """Return the tasks of a bulk submission: the body if it is a list, else its field `tasks`.

    Raise InvalidField.
    """
    if isinstance(body, list):
        return body
    body = require_object(body)
    for field in body:
        if field != "tasks":
            raise InvalidField(field, "unknown field; the only valid field is tasks.")
    if "tasks" not in body:
        raise InvalidField("tasks", "is required; give a list of tasks.")
    return body["tasks"]


def require_ids(body: Any) -> list[int]:
    """Return the field `ids` of a body. Raise InvalidField or TooLarge."""
    return ids.parse_ids(require_object(body).get("ids"), MAX_RETRIES)


def require_object(body: Any) -> dict[str, Any]:
    """Return the body. Raise InvalidField unless it is an object."""
    if not isinstance(body, dict):
        raise InvalidField("body", "must be a JSON object.")
    return body


def require_fields(body: Any, *names: str) -> dict[str, Any]:
    """Return the body, which has only these fields. Raise InvalidField."""
    fields = dict(require_object(body))
    for field in fields:
        if field not in names:
            raise InvalidField(field, f"unknown field; valid fields are {', '.join(names)}.")
    return fields


def take_flag(fields: dict[str, Any], name: str, *, default: bool) -> bool:
    """Remove a field that is true or false, and return it. Raise InvalidField."""
    value = fields.pop(name, default)
    if not isinstance(value, bool):
        raise InvalidField(name, "must be true or false.")
    return value
