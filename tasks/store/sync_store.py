"""Run the statements that web processes, commands and programs need, on Django's connection.

`using` is the alias of the database. A function runs in the caller's transaction, if there is one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import Cursor

from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.messages import (
    ChangedTask,
    EndedTasks,
    MissingTask,
    NewTask,
    OutputRow,
    QueueName,
    QueueOutlook,
    QueuePriority,
    StatusCounts,
    TaskTotals,
)
from taskmaster.tasks.statements import statement
from taskmaster.tasks.store.parameters import depth_parameters, ended_parameters, event_parameters


def insert_task(
    task: NewTask,
    *,
    call: tuple[str, str] | None = None,
    created_by_id: Any = None,
    using: str = DEFAULT_DB_ALIAS,
) -> int:
    """Store one task and return its id.

    `call` holds the JSON texts of args and kwargs. It replaces those of `task`.
    """
    args, kwargs = call or (task.args, task.kwargs)
    row = _prepared(
        using,
        "insert_task",
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
    return int(row[0])


def reserve_task_ids(count: int, *, using: str) -> list[int]:
    """Reserve the ids of a bulk submission, since COPY returns none."""
    return [row[0] for row in _run(using, "reserve_task_ids", {"count": count})]


def copy_tasks(
    ids: Sequence[int], tasks: Sequence[NewTask], *, created_by_id: Any, using: str
) -> None:
    """Store tasks under reserved ids with COPY. It must run in a transaction."""
    connection = connections[using]
    # Django's cursor does not wrap the exceptions of a COPY.
    with connection.wrap_database_errors, connection.cursor() as cursor:
        # All tasks get the start time of the transaction, as a single INSERT gets with now().
        # Without a zone, since the setting USE_TZ decides whether Django returns one.
        cursor.execute("SELECT now() AT TIME ZONE 'UTC'")
        now = cursor.fetchone()[0].replace(tzinfo=UTC)
        with cursor.copy(statement("copy_tasks")) as copy:
            for task_id, task in zip(ids, tasks, strict=True):
                copy.write_row(
                    (
                        task_id,
                        task.name,
                        task.args,
                        task.kwargs,
                        task.queue,
                        task.priority,
                        max(task.scheduled_at or now, now),
                        task.max_attempts,
                        task.timeout_s,
                        task.retry_base_s,
                        task.retry_cap_s,
                        task.on_lost_contact,
                        list(task.tags),
                        created_by_id,
                    )
                )


def notify_idle(*, using: str) -> bool:
    """Wake the idle coordinators. Return whether there are any."""
    return _prepared(using, "notify_idle") is not None


def cancel_tasks(ids: Sequence[int], *, using: str = DEFAULT_DB_ALIAS) -> list[ChangedTask]:
    """Cancel tasks that have not ended. Return the cancelled ones."""
    rows = _run(using, "cancel_tasks", {"ids": list(ids)})
    return [ChangedTask(task_id, name, queue) for task_id, name, queue, _ in rows]


def retry_tasks(ids: Sequence[int], *, using: str = DEFAULT_DB_ALIAS) -> list[ChangedTask]:
    """Make failed and cancelled tasks pending and due now. Return them."""
    return [ChangedTask(*row) for row in _run(using, "retry_tasks", {"ids": list(ids)})]


def reschedule_tasks(
    ids: Sequence[int], scheduled_at: datetime, *, using: str = DEFAULT_DB_ALIAS
) -> list[ChangedTask]:
    """Set the due time of pending and picked tasks. Return them."""
    parameters = {"ids": list(ids), "scheduled_at": scheduled_at}
    return [ChangedTask(*row) for row in _run(using, "reschedule_tasks", parameters)]


def requeue_tasks(
    ids: Sequence[int],
    *,
    queue: str | None = None,
    priority: int | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> list[ChangedTask]:
    """Set the queue or the priority of tasks that have not begun. None keeps the current value."""
    parameters = {"ids": list(ids), "queue": queue, "priority": priority}
    return [ChangedTask(*row) for row in _run(using, "requeue_tasks", parameters)]


def delete_tasks(ids: Sequence[int], *, using: str = DEFAULT_DB_ALIAS) -> list[ChangedTask]:
    """Delete finished tasks and their output permanently. Return the deleted ones."""
    return [ChangedTask(*row) for row in _run(using, "delete_tasks", {"ids": list(ids)})]


def list_due_queues(*, using: str = DEFAULT_DB_ALIAS) -> list[QueuePriority]:
    """Return the (queue, priority) pairs that have pending tasks, due or not."""
    return [QueuePriority._make(row) for row in _run(using, "list_due_queues")]


def count_tasks_ahead(
    task_id: int,
    *,
    queue: str,
    priority: int,
    scheduled_at: datetime,
    limit: int,
    using: str = DEFAULT_DB_ALIAS,
) -> int:
    """Count the due tasks of the queue that are claimed before this task, up to `limit`."""
    place = {"queue": queue, "priority": priority, "scheduled_at": scheduled_at}
    parameters = {**place, "id": task_id, "limit": limit}
    return int(_run(using, "count_tasks_ahead", parameters)[0][0])


def read_queue_outlook(
    queue: str,
    scheduled_at: datetime,
    coordinator: UUID | None,
    *,
    silence_s: float,
    using: str = DEFAULT_DB_ALIAS,
) -> QueueOutlook:
    """Read the outlook of a task of this queue. `coordinator` holds the task, if any does.

    Coordinators that have not written for `silence_s` seconds are ignored.
    """
    place = {"queue": queue, "scheduled_at": scheduled_at}
    parameters = {**place, "coordinator": coordinator, "silence_s": silence_s}
    return QueueOutlook._make(_run(using, "read_queue_outlook", parameters)[0])


def filter_known_names(
    wanted: Collection[QueueName], *, silence_s: float, using: str = DEFAULT_DB_ALIAS
) -> set[QueueName]:
    """Return the subset of names that a connected worker of their queue knows.

    Coordinators that have not written for `silence_s` seconds are ignored.
    """
    queues, names = [each.queue for each in wanted], [each.name for each in wanted]
    parameters = {"queues": queues, "names": names, "silence_s": silence_s}
    return {QueueName._make(row) for row in _run(using, "filter_known_names", parameters)}


def has_worker_without_name(
    queue: str, name: str, *, silence_s: float, using: str = DEFAULT_DB_ALIAS
) -> bool:
    """Return whether a connected worker of the queue does not know the name.

    Coordinators that have not written for `silence_s` seconds are ignored.
    """
    parameters = {"queue": queue, "name": name, "silence_s": silence_s}
    return bool(_run(using, "has_worker_without_name", parameters)[0][0])


def list_known_names(*, silence_s: float, using: str = DEFAULT_DB_ALIAS) -> set[str]:
    """Return the names that connected workers have announced."""
    return {row[0] for row in _run(using, "list_known_names", {"silence_s": silence_s})}


def read_output(
    task_id: int,
    attempt: int,
    *,
    lease: int,
    seq: int,
    offset: int,
    max_bytes: int,
    max_rows: int,
    using: str = DEFAULT_DB_ALIAS,
) -> list[OutputRow]:
    """Read the output of an attempt after the cursor (lease, seq, offset).

    Return chunks up to `max_bytes` and the chunk that exceeds them, at most `max_rows` chunks.
    """
    after = {"lease": lease, "seq": seq, "offset": offset}
    limits = {"max_bytes": max_bytes, "max_rows": max_rows}
    parameters = {**after, **limits, "id": task_id, "attempt": attempt}
    return [OutputRow._make(row) for row in _run(using, "read_output", parameters)]


def measure_output(
    task_id: int, *, using: str = DEFAULT_DB_ALIAS
) -> list[tuple[int, int, int, str]]:
    """Measure the stored output: attempt, bytes before and after the cut, and the line of the cut.

    Return one row for each lease.
    """
    rows = _run(using, "measure_output", {"id": task_id})
    return [(attempt, int(head or 0), int(tail), mark) for attempt, head, tail, mark in rows]


def read_missing_task(task_id: int, *, using: str = DEFAULT_DB_ALIAS) -> MissingTask:
    """Read what is known about an id that no task has."""
    return MissingTask._make(_run(using, "read_missing_task", {"id": task_id})[0])


def record_completions(ended: EndedTasks, source: UUID | None = None, *, using: str) -> None:
    """Add ended tasks to the statistics. Do nothing if all numbers are zero.

    `source` identifies the row to update. By default it is an id of the database session. Separate
    rows prevent that transactions wait for each other's row locks.
    """
    if ended:
        _run(using, "record_completions", ended_parameters(ended, source))


def read_totals(*, using: str) -> TaskTotals:
    """Read the last count of the tasks by status, and the newest rates."""
    [row] = _run(using, "read_totals")
    size = len(StatusCounts._fields)
    return TaskTotals(StatusCounts._make(row[:size]), *row[size:])


def count_tasks(*, at_most: int, using: str) -> StatusCounts:
    """Count the tasks by status now, pending and parked ones up to `at_most`."""
    return StatusCounts._make(_run(using, "count_tasks", {"at_most": at_most})[0])


def snapshot_queue_depth(*, fresh_s: float, using: str) -> float | None:
    """Count the tasks of each queue, unless the last count is younger than `fresh_s` seconds.

    Return the duration in seconds, or None if this process did not count.
    """
    rows = _run(using, "snapshot_queue_depth", depth_parameters(fresh_s))
    return rows[0][0] if rows else None


def rollup_statistics(*, using: str) -> None:
    """Sum the statistics that are older than the charts into one row."""
    _run(using, "rollup_statistics")


def list_watched_tasks(*, using: str = DEFAULT_DB_ALIAS) -> set[int]:
    """Return the ids of tasks that a web process currently displays."""
    return {row[0] for row in _run(using, "list_watched_tasks")}


def publish_events(events: Sequence[NewEvent], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Store events and notify the web processes. Return the id of the newest."""
    return int(_run(using, "publish_events", event_parameters(events))[0][0])


def renew_subscriptions(
    task_ids: Sequence[int], web: UUID, *, using: str = DEFAULT_DB_ALIAS
) -> None:
    """Register the tasks that a web process displays, and drop those it no longer displays."""
    _run(using, "renew_subscriptions", {"ids": list(task_ids), "web": web})


def take_idempotency_key(
    user_id: Any, key: str, request: str, *, kept_s: float, using: str = DEFAULT_DB_ALIAS
) -> bool:
    """Register a key for a request. Return False if the user has used it within `kept_s` seconds.

    Wait for a concurrent transaction with the same key.
    """
    parameters = {"user_id": user_id, "key": key, "request": request, "kept_s": kept_s}
    return bool(_run(using, "take_idempotency_key", parameters))


def take_login_attempt(
    key: str, *, permitted: int, period_s: float, using: str = DEFAULT_DB_ALIAS
) -> int | None:
    """Count a login attempt. Return the attempts of the period, or None above `permitted` + 1."""
    parameters = {"key": key, "permitted": permitted, "period_s": period_s}
    rows = _run(using, "take_login_attempt", parameters)
    return int(rows[0][0]) if rows else None


def refund_login_attempts(keys: Sequence[str], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Subtract a successful login from the attempts of these keys."""
    _run(using, "refund_login_attempts", {"keys": list(keys)})


def prune_login_attempts(*, period_s: float, using: str = DEFAULT_DB_ALIAS) -> None:
    """Delete the counts of ended periods, at most 1,000."""
    _run(using, "prune_login_attempts", {"period_s": period_s})


def _run(using: str, name: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(statement(name), parameters)
        return cursor.fetchall() if cursor.description else []


def _prepared(
    using: str, name: str, parameters: tuple[object, ...] | None = None
) -> tuple[Any, ...] | None:
    """Run a statement as a prepared statement and return its first row, or None.

    Django's cursors bind parameters on the client, so the server parses and plans every call. That
    halves the submission rate.
    """
    connection: Any = connections[using]
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        cursor.execute(statement(name), parameters)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
