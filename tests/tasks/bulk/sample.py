"""Create operations, and tasks in a given status, in one line each."""

from __future__ import annotations

from typing import Any

from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk.request import parse
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import Operation, Task
from tests.factories import stored


def in_status(status: str, count: int = 1, **fields: Any) -> list[int]:
    """Store tasks with this status and these fields; return their ids."""
    ids = stored(count)
    Task.objects.filter(pk__in=ids).update(status=status, **fields)
    return ids


def an_operation(action: str, user: Any = None, **fields: object) -> Operation:
    """Return a confirmed operation."""
    return service.start(parse({"action": action, **fields}), user)


def run_all(operation: Operation) -> Operation:
    """Run the chunks of all operations, as a coordinator does, and read this one again."""
    while run_chunk() is not None:
        pass
    operation.refresh_from_db()
    return operation


def statuses(ids: list[int]) -> list[str]:
    """Return the statuses of these tasks, in order."""
    found = dict(Task.objects.filter(pk__in=ids).values_list("pk", "status"))
    return [found.get(task_id, "gone") for task_id in ids]
