"""What a person or a program asks of a stored task: cancel, retry, move."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from tasks import submission
from tasks.errors import IllegalTransition, InvalidField, TaskNotFound
from tasks.permissions import User, check_retry
from tasks.statements import statement
from tasks.wake import wake_on_commit


def cancel(task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Cancels a task that has not ended; an execution under way is stopped.

    Raises TaskNotFound, or IllegalTransition when the task has ended.
    """
    _apply("cancel", task_id, {}, "it cannot be cancelled any more", using)


def retry(task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Makes a failed or cancelled task pending again, due now, with an attempt left.

    Raises TaskNotFound, or IllegalTransition in any other status.
    """
    _apply("retry", task_id, {}, "only failed and cancelled tasks can be retried", using)
    wake_on_commit(using)


def retry_for(user: User, task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """The same for a user. Raises NotAllowed besides: shell needs the right to submit it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT name FROM tasks_task WHERE id = %s", [task_id])
        row = cursor.fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    check_retry(user, row[0])
    retry(task_id, using=using)


def move(task_id: int, scheduled_at: object, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Gives a task that has not begun another time (a datetime or ISO 8601 text, with zone).

    Raises InvalidField, TaskNotFound, or IllegalTransition once it has begun.
    """
    when = submission.scheduled_time(scheduled_at)
    if when is None:
        raise InvalidField("scheduled_at", "is required.")
    _apply(
        "move",
        task_id,
        {"scheduled_at": when},
        "only a task that has not begun can be moved",
        using,
    )
    wake_on_commit(using)


def _apply(name: str, task_id: int, parameters: dict[str, Any], refusal: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement(name), {"id": task_id, **parameters})
        if cursor.fetchone() is not None:
            return
        cursor.execute("SELECT status FROM tasks_task WHERE id = %s", [task_id])
        row = cursor.fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    raise IllegalTransition(f"Task {task_id} is {row[0]}: {refusal}.")
