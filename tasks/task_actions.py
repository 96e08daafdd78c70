"""Cancel, retry or reschedule one stored task, for a user or a program."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from taskmaster.tasks.errors import IllegalTransition, InvalidField, TaskNotFound
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import ChangedTask, EndedTasks
from taskmaster.tasks.options import scheduled_time
from taskmaster.tasks.permissions import check_retry
from taskmaster.tasks.store import sync_store as store
from taskmaster.tasks.wakeup import wake_on_commit


def cancel(task_id: int, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Cancel a task that has not ended. A running execution is stopped.

    `by` is the requesting user, for the activity log. Raise TaskNotFound, or IllegalTransition if
    the task has ended.
    """
    with transaction.atomic(using):
        changed = store.cancel_tasks(_as_list(task_id), using=using)
        task = _require_changed(
            changed, task_id, "only tasks that have not ended can be cancelled", using
        )
        store.record_completions(EndedTasks(cancelled=1), using=using)
        _publish(EventKind.CANCELLED, "cancelled", task, by, using)


def retry(task_id: int, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Make a failed or cancelled task pending and due now, with at least one attempt left.

    Raise TaskNotFound, or IllegalTransition in any other status.
    """
    refusal = "only failed and cancelled tasks can be retried"
    with transaction.atomic(using):
        task = _require_changed(
            store.retry_tasks(_as_list(task_id), using=using), task_id, refusal, using
        )
        left = EndedTasks(
            failed=-(task.before == Status.FAILED), cancelled=-(task.before == Status.CANCELLED)
        )
        store.record_completions(left, using=using)
        _publish(EventKind.SUBMITTED, f"retried (was {task.before})", task, by, using)
    wake_on_commit(using)


def retry_for(user: Any, task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Retry a task for a user, who may view and change tasks.

    Raise NotAllowed if the user may not change tasks, or may not submit shell commands and the task
    is one. Raise the errors of `retry`.
    """
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT name FROM taskmaster_tasks_task WHERE id = %s", [task_id])
        row = cursor.fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    check_retry(user, row[0])
    retry(task_id, by=user.get_username(), using=using)


def reschedule(
    task_id: int, scheduled_at: object, *, by: str = "", using: str = DEFAULT_DB_ALIAS
) -> None:
    """Reschedule a pending or picked task to an aware datetime or ISO 8601 text with a zone.

    A time in the past is due now. Raise InvalidField, TaskNotFound, or IllegalTransition in any
    other status.
    """
    if scheduled_at is None:
        raise InvalidField("scheduled_at", "is required; give a time such as 2030-01-31T12:00:00Z.")
    when = scheduled_time(scheduled_at)
    refusal = "only a task that has not started can be rescheduled"
    changed = store.reschedule_tasks(_as_list(task_id), when, using=using)
    task = _require_changed(changed, task_id, refusal, using)
    due = "now" if when <= datetime.now(UTC) else f"{when:%Y-%m-%d %H:%M:%S} UTC"
    _publish(EventKind.SUBMITTED, f"rescheduled to {due}", task, by, using)
    wake_on_commit(using)


def _as_list(task_id: int) -> list[int]:
    """Return the id as a list. Raise TaskNotFound if it exceeds PostgreSQL's bigint."""
    if task_id > MAX_ID:
        raise TaskNotFound(task_id)
    return [task_id]


def _require_changed(
    changed: Sequence[ChangedTask], task_id: int, refusal: str, using: str
) -> ChangedTask:
    """Return the changed task.

    Raise TaskNotFound, or IllegalTransition with `refusal` if the statement changed no row.
    """
    if changed:
        return changed[0]
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT status FROM taskmaster_tasks_task WHERE id = %s", [task_id])
        row = cursor.fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    raise IllegalTransition(f"Task {task_id} is {row[0]}: {refusal}.")


def _publish(kind: EventKind, text: str, task: ChangedTask, by: str, using: str) -> None:
    text = f"{text} by {by}" if by else text
    publish([NewEvent(kind, text, task.task_id, task.name, task.queue, user=by)], using=using)
