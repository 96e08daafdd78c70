"""Store one task or many tasks in the caller's transaction.

with transaction.atomic():
    order.save()
    send_receipt.enqueue(order.id)              # rolled back with the transaction
    bulk(new(thumbnail, each) for each in paths)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from taskmaster.tasks import submission
from taskmaster.tasks.compat import Task
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.store import sync_store as store
from taskmaster.tasks.wakeup import wake_on_commit


def new(
    task: Task[..., Any] | str,
    *args: Any,
    scheduled_at: datetime | None = None,
    queue: str | None = None,
    priority: int | None = None,
    max_attempts: int | None = None,
    timeout_s: float | None = None,
    retry_base_s: float | None = None,
    retry_cap_s: float | None = None,
    on_lost_contact: str | None = None,
    tags: Sequence[str] | None = None,
    task_kwargs: dict[str, Any] | None = None,
) -> NewTask:
    """Return a submission for `bulk`. `task` is a declared task, or the name of one.

    Options that are None come from the task's declaration. Raise InvalidField, TooLarge or
    UnknownTaskName.
    """
    name, declaration = (task, None) if isinstance(task, str) else (task.module_path, task)
    fields = {
        "name": name,
        "args": args,
        "kwargs": task_kwargs,
        "scheduled_at": scheduled_at,
        "queue": queue,
        "priority": priority,
        "max_attempts": max_attempts,
        "timeout_s": timeout_s,
        "retry_base_s": retry_base_s,
        "retry_cap_s": retry_cap_s,
        "on_lost_contact": on_lost_contact,
        "tags": tags,
    }
    try:
        return submission.parse(fields, task=declaration)
    except InvalidField as error:
        raise error.renamed({"name": "task", "kwargs": "task_kwargs"}) from None


def enqueue(
    task: NewTask,
    *,
    created_by_id: Any = None,
    using: str = DEFAULT_DB_ALIAS,
) -> int:
    """Store one task in the current transaction and return its id."""
    task_id = store.insert_task(task, created_by_id=created_by_id, using=using)
    wake_on_commit(using)
    return task_id


def bulk(
    tasks: Iterable[NewTask],
    *,
    created_by_id: Any = None,
    using: str = DEFAULT_DB_ALIAS,
) -> list[int]:
    """Store tasks with COPY, all or none, and return their ids in the same order.

    Raise InvalidField for an empty list, and TooLarge for more than `bulk_max_tasks`.
    """
    tasks = list(tasks)
    submission.check_bulk_size(len(tasks))
    with transaction.atomic(using=using):
        ids = store.reserve_task_ids(len(tasks), using=using)
        store.copy_tasks(ids, tasks, created_by_id=created_by_id, using=using)
    wake_on_commit(using)
    return ids
