"""Apply a bulk operation to locked tasks. Each action is one SQL statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connections

from taskmaster.tasks.bulk_actions import Action
from taskmaster.tasks.conf import SHELL_OFF, settings
from taskmaster.tasks.errors import NotAllowed
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import ChangedTask, EndedTasks
from taskmaster.tasks.models import Operation
from taskmaster.tasks.permissions import check_retry
from taskmaster.tasks.registry import SHELL
from taskmaster.tasks.store import sync_store as store
from taskmaster.tasks.wakeup import wake_on_commit


class HasTaskName(Protocol):
    """Require a task name of a row."""

    @property
    def name(self) -> str:
        """Return the dotted path of the callable."""


_Row = TypeVar("_Row", bound=HasTaskName)


def filter_permitted(
    operation: Operation, rows: Sequence[_Row], using: str
) -> tuple[list[_Row], Counter[str]]:
    """Return the rows that the operation's user may change, and refusal counts by reason.

    Only a retry of shell tasks needs a permission beyond that of the action, and the setting.
    """
    if operation.action != Action.RETRY or not any(row.name == SHELL for row in rows):
        return list(rows), Counter()
    if (reason := _shell_refusal(operation, using)) is None:
        return list(rows), Counter()
    permitted = [row for row in rows if row.name != SHELL]
    return permitted, Counter({reason: len(rows) - len(permitted)})


def _shell_refusal(operation: Operation, using: str) -> str | None:
    """Return the reason why the operation may not retry shell tasks, or None.

    The permissions are read now, not when the operation was created.
    """
    if not settings().shell_tasks:
        return SHELL_OFF
    if operation.created_by_id is None:
        return None
    user = get_user_model()._default_manager.using(using).filter(pk=operation.created_by_id).first()
    if user is None:
        return f"shell: the user {operation.user} no longer exists"
    try:
        check_retry(user, SHELL)
    except NotAllowed as refusal:
        return f"shell: {refusal}"
    return None


def change(operation: Operation, ids: Sequence[int], using: str) -> list[ChangedTask]:
    """Change these tasks and their statistics; wake coordinators after the commit.

    Cancelled and deleted tasks add no work, so these two actions wake no coordinator.
    """
    if not ids:
        return []
    match Action(operation.action):
        case Action.CANCEL:
            changed = store.cancel_tasks(ids, using=using)
            ended = EndedTasks(cancelled=len(changed))
        case Action.RETRY:
            changed = store.retry_tasks(ids, using=using)
            ended = _negative_counts(changed)
        case Action.RUN_NOW:
            changed = store.reschedule_tasks(ids, _now(using), using=using)
            ended = EndedTasks()
        case Action.SET_QUEUE:
            changed = store.requeue_tasks(ids, queue=operation.queue, using=using)
            ended = EndedTasks()
        case Action.SET_PRIORITY:
            changed = store.requeue_tasks(ids, priority=operation.priority, using=using)
            ended = EndedTasks()
        case Action.DELETE:
            changed = store.delete_tasks(ids, using=using)
            ended = _negative_counts(changed)
    # All chunks of an operation within ten seconds add to the same statistics row.
    store.record_completions(ended, UUID(int=operation.pk), using=using)
    if operation.action not in (Action.CANCEL, Action.DELETE):
        wake_on_commit(using)
    return changed


def _now(using: str) -> datetime:
    """Return the database's time, because its clock decides which tasks are due."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
    return now


def _negative_counts(changed: Sequence[ChangedTask]) -> EndedTasks:
    """Return the negative counts of the finished tasks that were retried or deleted."""
    before = Counter(each.before for each in changed)
    return EndedTasks(
        complete=-before[Status.COMPLETE],
        failed=-before[Status.FAILED],
        cancelled=-before[Status.CANCELLED],
    )
