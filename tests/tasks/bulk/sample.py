"""Tasks in a status and operations, in a line."""

from __future__ import annotations

from typing import Any

from tasks.bulk import operate
from tasks.bulk.wanted import parse
from tasks.models import Operation, Task
from tests.tasks.sample import stored


def in_status(status: str, count: int = 1, **fields: Any) -> list[int]:
    """The ids of tasks that stand there; some fields can only be written afterwards."""
    ids = stored(count)
    Task.objects.filter(pk__in=ids).update(status=status, **fields)
    return ids


def an_operation(action: str, user: Any = None, **fields: object) -> Operation:
    """One that is confirmed."""
    return operate.start(parse({"action": action, **fields}), user)


def statuses(ids: list[int]) -> list[str]:
    """Of these tasks, in their order."""
    found = dict(Task.objects.filter(pk__in=ids).values_list("pk", "status"))
    return [found.get(task_id, "gone") for task_id in ids]
