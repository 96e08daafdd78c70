"""Run bulk operations in chunks, one transaction per chunk.

A chunk locks the operation's row until its transaction ends, so no coordinator owns an operation.
When a coordinator dies, its chunk is rolled back and another coordinator continues from the cursor.
The cursor moves in the same transaction as the change, so each task is handled exactly once. The
same holds for the due times of a back-fill.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections, transaction
from django.db.models import BooleanField, Case, F, QuerySet, When
from django.db.models.functions import Now
from django.utils import timezone
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from psycopg_pool import PoolTimeout

from taskmaster.tasks.bulk import apply, backfill
from taskmaster.tasks.bulk.selection import changeable, select_tasks
from taskmaster.tasks.bulk.service import build_event
from taskmaster.tasks.bulk_actions import TASK_RULES, Action
from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.messages import ChangedTask
from taskmaster.tasks.models import Operation, Task
from taskmaster.tasks.models.operation import ACTIVE, OperationState

log = logging.getLogger(__name__)

#: Maximum number of tasks or due times in one chunk.
CHUNK = 500
#: Maximum number of tasks that one chunk examines. A filter that matches few tasks takes many
#: chunks.
_WINDOW = 20_000
#: Lock and statement time-outs of a chunk, in milliseconds.
_LOCK_MS, _STATEMENT_MS = 1_000, 30_000
_ERROR_MAX = 500
#: Errors caused by concurrent transactions; the connection stays usable.
_CONCURRENCY_ERRORS = (LockNotAvailable, QueryCanceled, DeadlockDetected)


class LockedTask(NamedTuple):
    """Store the columns of a locked task that decide whether the action applies."""

    task_id: int
    name: str
    queue: str
    status: str
    due: bool


class LockedChunk(NamedTuple):
    """Hold the tasks of one chunk.

    `rows` are locked. `absent` counts the ids that do not exist. `cursor` is the last id that the
    chunk covers.
    """

    rows: list[LockedTask]
    absent: int
    cursor: int


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """Report the result of one chunk for the activity log."""

    action: Action
    #: Name of the user; empty for the command line.
    by: str
    #: Tasks that were changed, or created by a back-fill.
    changed: list[ChangedTask] = field(default_factory=list)
    #: Set when the operation ended with this chunk.
    ended: NewEvent | None = None
    #: Name of the schedule; empty unless the operation is a back-fill.
    schedule: str = ""


def run_chunk(using: str = DEFAULT_DB_ALIAS) -> ChunkResult | None:
    """Run one chunk of the active operation that has waited longest.

    Returns None when no operation is active, or when other coordinators hold all active operations.
    Raises OperationalError, InterfaceError or PoolTimeout when the caller should retry. Any other
    error ends the operation as failed, with the error stored in its row.
    """
    with transaction.atomic(using):
        _limit(using)
        operation = _next(using)
        if operation is None:
            return None
        try:
            with transaction.atomic(using):
                return _run(operation, using)
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            if not isinstance(error.__cause__, _CONCURRENCY_ERRORS):
                raise
            return _postpone(operation, error, using)
        except Exception as error:
            log.exception("bulk operation failed", extra={"operation": operation.pk})
            return _fail(operation.pk, error, using)


def _limit(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, TRUE), "
            "set_config('statement_timeout', %s, TRUE)",
            [f"{_LOCK_MS}ms", f"{_STATEMENT_MS}ms"],
        )


def _next(using: str) -> Operation | None:
    """Lock the free operation with the oldest progress.

    This order is round-robin, so a small operation does not wait for a large one to end.
    """
    operations = Operation.objects.using(using).filter(state__in=ACTIVE)
    waiting = operations.order_by(F("progressed_at").asc(nulls_first=True), "pk")
    return waiting.select_for_update(skip_locked=True).first()


def _run(operation: Operation, using: str) -> ChunkResult:
    action = Action(operation.action)
    if action is Action.BACKFILL:
        changed, is_last = backfill.create_runs(operation, CHUNK, using)
    else:
        changed, is_last = _change_tasks(operation, action, using)
    operation.done += len(changed)
    operation.progressed_at = timezone.now()
    operation.started_at = operation.started_at or operation.progressed_at
    operation.state = OperationState.RUNNING
    if is_last:
        operation.state, operation.finished_at = OperationState.COMPLETE, operation.progressed_at
    operation.save(using=using)
    ended = build_event(operation, operation.outcome, operation.user) if is_last else None
    return ChunkResult(action, operation.user, changed, ended, operation.schedule_name)


def _change_tasks(
    operation: Operation, action: Action, using: str
) -> tuple[list[ChangedTask], bool]:
    """Change the next tasks. Return those that were changed, and whether none is left."""
    chunk = _lock_chunk(operation, action, using)
    refused = Counter[str](operation.refused)
    if chunk.absent:
        refused["the task does not exist"] += chunk.absent
    accepted: list[LockedTask] = []
    for row in chunk.rows:
        if (reason := _refusal(action, row)) is None:
            accepted.append(row)
        else:
            refused[reason] += 1
    accepted, denied = apply.filter_permitted(operation, accepted, using)
    refused.update(denied)
    changed = apply.change(operation, [row.task_id for row in accepted], using)
    operation.refused = dict(refused)
    operation.cursor = chunk.cursor
    return changed, operation.cursor >= operation.upper_id


def _refusal(action: Action, row: LockedTask) -> str | None:
    rule = TASK_RULES[action]
    if row.status not in rule.sources:
        return f"{row.status}: {rule.refusal}"
    return "the task is already due" if action is Action.RUN_NOW and row.due else None


# ---- selecting and locking tasks ------------------------------------------------------------


def _lock_chunk(operation: Operation, action: Action, using: str) -> LockedChunk:
    """Lock the next tasks up to the first one that another transaction holds.

    Other transactions lock many tasks in any order. To prevent deadlocks, this function waits for
    a lock only while it holds no other. A task locked elsewhere is left to the next chunk.
    If it is the first task, the chunk waits for it and handles only that task.
    """
    tasks = select_tasks(operation.filter, operation.ids, using, newest=operation.upper_id)
    if operation.ids is None:
        ids, end = _next_ids(operation, changeable(tasks, action), using)
        found = ids
        # Leave out tasks whose status has changed since their ids were read.
        tasks = changeable(tasks, action)
    else:
        ids = [task_id for task_id in operation.ids if task_id > operation.cursor][:CHUNK]
        end = ids[-1]
        found = _ids(tasks.filter(pk__in=ids))
    with transaction.atomic(using):
        rows = _lock(tasks, found, wait=False)
        missing = set(found) - {row.task_id for row in rows}
        if missing:
            end = min(missing) - 1
            rows = [row for row in rows if row.task_id <= end]
        # If only later tasks were locked, the rollback to the savepoint releases them.
        transaction.set_rollback(bool(missing) and not rows, using)
    if missing and not rows:
        end = min(missing)
        rows = _lock(tasks, [end], wait=True)
    absent = sum(task_id <= end for task_id in set(ids) - set(found))
    return LockedChunk(rows, absent, end)


def _next_ids(operation: Operation, tasks: QuerySet[Task], using: str) -> tuple[list[int], int]:
    """Return up to `CHUNK` matching ids and the id up to which the search is complete."""
    after, upper = operation.cursor, operation.upper_id
    ahead = Task.objects.using(using).filter(pk__gt=after, pk__lte=upper).order_by("pk")
    beyond = ahead.values_list("pk", flat=True)[_WINDOW - 1 : _WINDOW]
    end = next(iter(beyond), upper)
    ids = _ids(tasks.filter(pk__gt=after, pk__lte=end).order_by("pk")[:CHUNK])
    return ids, ids[-1] if len(ids) == CHUNK else end


def _ids(tasks: QuerySet[Task]) -> list[int]:
    return sorted(tasks.values_list("pk", flat=True))


def _lock(tasks: QuerySet[Task], ids: Sequence[int], *, wait: bool) -> list[LockedTask]:
    due = Case(When(scheduled_at__lte=Now(), then=True), default=False, output_field=BooleanField())
    locked = tasks.filter(pk__in=ids).order_by("pk").select_for_update(skip_locked=not wait)
    return [
        LockedTask._make(row) for row in locked.values_list("pk", "name", "queue", "status", due)
    ]


# ---- errors ---------------------------------------------------------------------------------


def _postpone(operation: Operation, error: Exception, using: str) -> ChunkResult:
    """Move the operation to the end of the queue, so that others run before it is retried."""
    details = {"operation": operation.pk, "error": str(error).strip()}
    log.warning("bulk operation blocked by another transaction, retrying", extra=details)
    Operation.objects.using(using).filter(pk=operation.pk).update(progressed_at=timezone.now())
    return ChunkResult(Action(operation.action), operation.user)


def _fail(operation_id: int, error: Exception, using: str) -> ChunkResult:
    operation = Operation.objects.using(using).get(pk=operation_id)
    operation.state, operation.finished_at = OperationState.FAILED, timezone.now()
    operation.error = (str(error).strip() or type(error).__name__)[:_ERROR_MAX]
    operation.save(using=using, update_fields=["state", "finished_at", "error"])
    text = f"bulk operation failed after it {operation.outcome}"
    if operation.action != Action.BACKFILL:
        # The error of a back-fill may show the owner or the arguments of its schedule. Readers of
        # events need no permission to view schedules.
        text = f"{text}: {operation.error}"
    return ChunkResult(
        Action(operation.action), operation.user, [], build_event(operation, text, operation.user)
    )
