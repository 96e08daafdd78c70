"""One chunk of an operation: the next tasks that it concerns, changed in one transaction.

Whoever runs a chunk locks the operation's row for that long and nothing longer, so an operation
belongs to nobody: when a coordinator dies, its chunk is rolled back and another goes on from the
cursor. Each task is handled once, since the cursor moves with the change.
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

from tasks.bulk import changes
from tasks.bulk.actions import RULES, Action
from tasks.bulk.operate import event_of
from tasks.bulk.selection import changeable, named
from tasks.events.event import NewEvent
from tasks.models import Operation, Task
from tasks.models.operation import ACTIVE, State

log = logging.getLogger(__name__)

#: Tasks of one chunk at most.
CHUNK = 500
#: Tasks that one chunk looks through for them: a filter that selects few takes many chunks.
_WINDOW = 20_000
#: Longer than this a chunk waits for no lock and no statement takes, in milliseconds.
_LOCK_MS, _STATEMENT_MS = 1_000, 30_000
_ERROR_MAX = 500
#: Others are in the way; the connection is in order.
_HELD_UP = (LockNotAvailable, QueryCanceled, DeadlockDetected)


class Row(NamedTuple):
    """A locked task."""

    task_id: int
    name: str
    queue: str
    status: str
    due: bool


class Portion(NamedTuple):
    """Tasks that are locked, those that are not there, and the id up to which this is all."""

    rows: list[Row]
    absent: int
    cursor: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What a chunk has done, for the activity log."""

    action: Action
    #: Name of the user, empty: the command line.
    by: str
    changed: list[changes.Handled] = field(default_factory=list)
    #: Set when the operation has ended with this chunk.
    ended: NewEvent | None = None


def run_chunk(using: str = DEFAULT_DB_ALIAS) -> Turn | None:
    """Runs a chunk of the operation that has waited longest; None: of none that is free.

    Raises OperationalError, InterfaceError or PoolTimeout, when it is worth another try; whatever
    else goes wrong makes the operation fail, with its error.
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
            if not isinstance(error.__cause__, _HELD_UP):
                raise
            return _put_off(operation, error, using)
        except Exception as error:
            log.exception("operation failed", extra={"operation": operation.pk})
            return _fail(operation.pk, error, using)


def _limit(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, TRUE), "
            "set_config('statement_timeout', %s, TRUE)",
            [f"{_LOCK_MS}ms", f"{_STATEMENT_MS}ms"],
        )


def _next(using: str) -> Operation | None:
    """They take turns, so that a small one does not wait for a large one."""
    operations = Operation.objects.using(using).filter(state__in=ACTIVE)
    turn = operations.order_by(F("progressed_at").asc(nulls_first=True), "pk")
    return turn.select_for_update(skip_locked=True).first()


def _run(operation: Operation, using: str) -> Turn:
    action = Action(operation.action)
    portion = _take(operation, action, using)
    refused = Counter[str](operation.refused)
    if portion.absent:
        refused["there is no such task"] += portion.absent
    fit: list[Row] = []
    for row in portion.rows:
        if (reason := _refusal(action, row)) is None:
            fit.append(row)
        else:
            refused[reason] += 1
    fit, denied = changes.admitted(operation, fit, using)
    refused.update(denied)
    changed = changes.change(operation, [row.task_id for row in fit], using)
    operation.refused = dict(refused)
    operation.done += len(changed)
    operation.cursor = portion.cursor
    operation.progressed_at = timezone.now()
    operation.started_at = operation.started_at or operation.progressed_at
    operation.state = State.RUNNING
    if operation.cursor >= operation.upper_id:
        operation.state, operation.finished_at = State.COMPLETE, operation.progressed_at
    operation.save(using=using)
    ended = None
    if operation.state == State.COMPLETE:
        ended = event_of(operation, operation.outcome, operation.user)
    return Turn(action, operation.user, changed, ended)


def _refusal(action: Action, row: Row) -> str | None:
    rule = RULES[action]
    if row.status not in rule.sources:
        return f"{row.status}: {rule.refusal}"
    return "is due already" if action is Action.RUN_NOW and row.due else None


# ---- which tasks ----------------------------------------------------------------------------


def _take(operation: Operation, action: Action, using: str) -> Portion:
    """Locks the next tasks, as far as nobody else is at one of them.

    Others lock many tasks at once, in any order; so this waits for a lock only when it has no
    other, and they do not end in a deadlock. What others are at is left to the next chunk, and
    when it is the very next task it is the whole chunk.
    """
    tasks = named(operation.filter, operation.ids, using, newest=operation.upper_id)
    if operation.ids is None:
        ids, end = _next_ids(operation, changeable(tasks, action), using)
        found = ids
        # What has changed since is not selected any more.
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
        # Else the locks on those behind it are given back here.
        transaction.set_rollback(bool(missing) and not rows, using)
    if missing and not rows:
        end = min(missing)
        rows = _lock(tasks, [end], wait=True)
    absent = sum(task_id <= end for task_id in set(ids) - set(found))
    return Portion(rows, absent, end)


def _next_ids(operation: Operation, tasks: QuerySet[Task], using: str) -> tuple[list[int], int]:
    """The next ids of these tasks, and the id up to which they are all."""
    after, upper = operation.cursor, operation.upper_id
    ahead = Task.objects.using(using).filter(pk__gt=after, pk__lte=upper).order_by("pk")
    beyond = ahead.values_list("pk", flat=True)[_WINDOW - 1 : _WINDOW]
    end = next(iter(beyond), upper)
    ids = _ids(tasks.filter(pk__gt=after, pk__lte=end).order_by("pk")[:CHUNK])
    return ids, ids[-1] if len(ids) == CHUNK else end


def _ids(tasks: QuerySet[Task]) -> list[int]:
    return sorted(tasks.values_list("pk", flat=True))


def _lock(tasks: QuerySet[Task], ids: Sequence[int], *, wait: bool) -> list[Row]:
    due = Case(When(scheduled_at__lte=Now(), then=True), default=False, output_field=BooleanField())
    locked = tasks.filter(pk__in=ids).order_by("pk").select_for_update(skip_locked=not wait)
    return [Row._make(row) for row in locked.values_list("pk", "name", "queue", "status", due)]


# ---- when it goes wrong ---------------------------------------------------------------------


def _put_off(operation: Operation, error: Exception, using: str) -> Turn:
    """Lets the others have their turn before it tries again."""
    details = {"operation": operation.pk, "error": str(error).strip()}
    log.warning("operation held up, tried again", extra=details)
    Operation.objects.using(using).filter(pk=operation.pk).update(progressed_at=timezone.now())
    return Turn(Action(operation.action), operation.user)


def _fail(operation_id: int, error: Exception, using: str) -> Turn:
    operation = Operation.objects.using(using).get(pk=operation_id)
    operation.state, operation.finished_at = State.FAILED, timezone.now()
    operation.error = (str(error).strip() or type(error).__name__)[:_ERROR_MAX]
    operation.save(using=using, update_fields=["state", "finished_at", "error"])
    text = f"an operation failed that {operation.outcome}: {operation.error}"
    return Turn(
        Action(operation.action), operation.user, [], event_of(operation, text, operation.user)
    )
