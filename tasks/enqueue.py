"""Stores tasks inside the caller's transaction: one, or many at once.

with transaction.atomic():
    order.save()
    send_receipt.enqueue(order.id)              # gone again if the transaction is
    bulk(new(thumbnail, each) for each in paths)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from tasks import submission
from tasks.compat import Task
from tasks.statements import statement
from tasks.submission import NewTask
from tasks.wake import execute, wake_on_commit


def new(
    task: Task[..., Any] | str,
    *args: Any,
    scheduled_at: datetime | None = None,
    queue: str | None = None,
    priority: int | None = None,
    tags: Sequence[str] | None = None,
    task_kwargs: dict[str, Any] | None = None,
) -> NewTask:
    """A submission for `bulk`. The task's own options serve where none is given.

    Raises InvalidField, TooLarge or UnknownTaskName.
    """
    fields: dict[str, object] = {"name": task} if isinstance(task, str) else declared(task)
    given = {"scheduled_at": scheduled_at, "queue": queue, "priority": priority, "tags": tags}
    fields.update({name: value for name, value in given.items() if value is not None})
    return submission.parse({**fields, "args": args, "kwargs": task_kwargs or {}})


def declared(task: Task[..., Any]) -> dict[str, object]:
    """The fields of a submission that the task's declaration fixes."""
    return {
        "name": task.module_path,
        "queue": task.queue_name,
        "priority": task.priority,
        "scheduled_at": task.run_after,
        "max_attempts": getattr(task, "max_attempts", None),
        "timeout_s": getattr(task, "timeout", None),
        "retry_base_s": getattr(task, "retry_base", None),
        "retry_cap_s": getattr(task, "retry_cap", None),
        "on_lost_contact": getattr(task, "on_lost_contact", None),
        "tags": getattr(task, "tags", None),
    }


def enqueue(
    task: NewTask,
    *,
    call: tuple[str, str] | None = None,
    created_by_id: int | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> int:
    """Stores one task in the current transaction and returns its id.

    `call`: the JSON texts of args and kwargs in place of the task's own.
    """
    args, kwargs = call or (task.args, task.kwargs)
    row = execute(
        using,
        "insert",
        (
            task.name,
            args,
            kwargs,
            task.queue,
            task.priority,
            task.scheduled_at,
            task.max_attempts,
            task.timeout_s,
            task.retry_base_s,
            task.retry_cap_s,
            task.on_lost_contact,
            list(task.tags),
            created_by_id,
        ),
    )
    assert row is not None
    wake_on_commit(using)
    return int(row[0])


def bulk(
    tasks: Iterable[NewTask],
    *,
    created_by_id: int | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> list[int]:
    """Stores many tasks by COPY, all or none, and returns their ids in the same order.

    Raises InvalidField for none, TooLarge for more than `bulk_max_tasks`.
    """
    tasks = list(tasks)
    submission.check_bulk_size(len(tasks))
    with (
        transaction.atomic(using=using),
        # Django does not look at what a COPY raises.
        connections[using].wrap_database_errors,
        connections[using].cursor() as cursor,
    ):
        # The same moment for all: the transaction's, as `now()` gives it to a single one.
        cursor.execute("SELECT now()")
        now = cursor.fetchone()[0]
        cursor.execute(statement("reserve_ids"), {"count": len(tasks)})
        ids: list[int] = [row[0] for row in cursor.fetchall()]
        with cursor.copy(statement("copy")) as copy:
            for task_id, task in zip(ids, tasks, strict=True):
                copy.write_row(
                    (
                        task_id,
                        task.name,
                        task.args,
                        task.kwargs,
                        task.queue,
                        task.priority,
                        task.scheduled_at or now,
                        task.max_attempts,
                        task.timeout_s,
                        task.retry_base_s,
                        task.retry_cap_s,
                        task.on_lost_contact,
                        list(task.tags),
                        created_by_id,
                    )
                )
    wake_on_commit(using)
    return ids
