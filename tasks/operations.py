"""What a person or a program asks of a stored task: cancel, retry, move."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from tasks import submission
from tasks.errors import IllegalTransition, InvalidField, TaskNotFound
from tasks.events.event import Kind, NewEvent
from tasks.events.publish import publish
from tasks.ids import MAX_ID
from tasks.lifecycle import Status
from tasks.permissions import check_retry
from tasks.statements import statement
from tasks.statistics import tally
from tasks.statistics.tally import Tally
from tasks.wake import wake_on_commit


def cancel(task_id: int, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Cancels a task that has not ended; an execution under way is stopped.

    `by`: the user who asked for it, for the activity log. Raises TaskNotFound, or
    IllegalTransition when the task has ended.
    """
    with transaction.atomic(using):
        row = _apply("cancel", task_id, {}, "it cannot be cancelled any more", using)
        tally.add(Tally(cancelled=1), using)
        _tell(Kind.CANCELLED, "cancelled", row, by, using)


def retry(task_id: int, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Makes a failed or cancelled task pending again, due now, with an attempt left.

    Raises TaskNotFound, or IllegalTransition in any other status.
    """
    refusal = "only failed and cancelled tasks can be retried"
    with transaction.atomic(using):
        row = _apply("retry", task_id, {}, refusal, using)
        before = row[-1]
        left = Tally(failed=-(before == Status.FAILED), cancelled=-(before == Status.CANCELLED))
        tally.add(left, using)
        _tell(Kind.SUBMITTED, f"again, after it was {before}", row, by, using)
    wake_on_commit(using)


def retry_for(user: Any, task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """The same for a user. Raises NotAllowed besides: shell needs the right to submit it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT name FROM tasks_task WHERE id = %s", [task_id])
        row = cursor.fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    check_retry(user, row[0])
    retry(task_id, by=user.get_username(), using=using)


def move(
    task_id: int, scheduled_at: object, *, by: str = "", using: str = DEFAULT_DB_ALIAS
) -> None:
    """Gives a task that has not begun another time (a datetime or ISO 8601 text, with zone).

    Raises InvalidField, TaskNotFound, or IllegalTransition once it has begun.
    """
    when = submission.scheduled_time(scheduled_at)
    if when is None:
        raise InvalidField("scheduled_at", "is required.")
    refusal = "only a task that has not begun can be moved"
    row = _apply("move", task_id, {"scheduled_at": when}, refusal, using)
    _tell(Kind.SUBMITTED, f"moved to {when:%Y-%m-%d %H:%M:%S} UTC", row, by, using)
    wake_on_commit(using)


def _apply(
    name: str, task_id: int, parameters: dict[str, Any], refusal: str, using: str
) -> tuple[Any, ...]:
    """The row that the statement returns: id, name and queue, and what else it has."""
    if task_id > MAX_ID:
        raise TaskNotFound(task_id)
    with connections[using].cursor() as cursor:
        cursor.execute(statement(name), {"ids": [task_id], **parameters})
        changed: tuple[Any, ...] | None = cursor.fetchone()
        if changed is not None:
            return changed
        cursor.execute("SELECT status FROM tasks_task WHERE id = %s", [task_id])
        row = cursor.fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    raise IllegalTransition(f"Task {task_id} is {row[0]}: {refusal}.")


def _tell(kind: Kind, text: str, row: tuple[Any, ...], by: str, using: str) -> None:
    task_id, name, queue, *_ = row
    text = f"{text} by {by}" if by else text
    publish([NewEvent(kind, text, task_id, name, queue, user=by)], using=using)
