"""Changes locked tasks as an operation says, each kind of change by its one statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connections

from tasks.bulk.actions import Action
from tasks.errors import NotAllowed
from tasks.lifecycle import Status
from tasks.models import Operation
from tasks.permissions import check_retry
from tasks.registry import SHELL
from tasks.statements import statement
from tasks.statistics import tally
from tasks.statistics.tally import Tally
from tasks.wake import wake_on_commit


class Handled(NamedTuple):
    """A task that was changed, as the activity log wants it."""

    task_id: int
    name: str
    queue: str
    #: Its status before, where that matters.
    before: str
    worker: str = ""
    worker_id: UUID | None = None


class Named(Protocol):
    """What is needed of a task here."""

    @property
    def name(self) -> str:
        """Of its callable."""


_Row = TypeVar("_Row", bound=Named)


def admitted(
    operation: Operation, rows: Sequence[_Row], using: str
) -> tuple[list[_Row], Counter[str]]:
    """Those that the operation's user may have changed, and how many not, by reason."""
    if operation.action != Action.RETRY or not any(row.name == SHELL for row in rows):
        return list(rows), Counter()
    if (reason := _shell_refusal(operation, using)) is None:
        return list(rows), Counter()
    left = [row for row in rows if row.name != SHELL]
    return left, Counter({reason: len(rows) - len(left)})


def _shell_refusal(operation: Operation, using: str) -> str | None:
    """Why its user may not retry shell tasks, by the permissions of this moment."""
    if operation.created_by_id is None:
        return None
    user = get_user_model()._default_manager.using(using).filter(pk=operation.created_by_id).first()
    if user is None:
        return f"shell: there is no user {operation.user} any more"
    try:
        check_retry(user, SHELL)
    except NotAllowed as refusal:
        return f"shell: {refusal}"
    return None


def change(operation: Operation, ids: Sequence[int], using: str) -> list[Handled]:
    """Changes these tasks, the statistics with them; wakes coordinators after the commit."""
    if not ids:
        return []
    match Action(operation.action):
        case Action.CANCEL:
            changed = _execute("cancel", ids, {}, using)
            ended = Tally(cancelled=len(changed))
        case Action.RETRY:
            changed = _execute("retry", ids, {}, using)
            ended = _left(changed)
        case Action.RUN_NOW:
            changed = _execute("move", ids, {"scheduled_at": _now(using)}, using)
            ended = Tally()
        case Action.SET_QUEUE:
            changed = _execute("requeue", ids, {"queue": operation.queue, "priority": None}, using)
            ended = Tally()
        case Action.SET_PRIORITY:
            place = {"queue": None, "priority": operation.priority}
            changed = _execute("requeue", ids, place, using)
            ended = Tally()
        case Action.DELETE:
            changed = _execute("delete", ids, {}, using)
            ended = _left(changed)
    # One row of statistics for ten seconds of an operation.
    tally.add(ended, using, source=UUID(int=operation.pk))
    if operation.action not in (Action.CANCEL, Action.DELETE):
        wake_on_commit(using)
    return changed


def _execute(
    name: str, ids: Sequence[int], parameters: dict[str, Any], using: str
) -> list[Handled]:
    with connections[using].cursor() as cursor:
        cursor.execute(statement(name), {"ids": list(ids), **parameters})
        return [
            Handled(task_id, name_, queue, (rest[0] if rest else "") or "")
            for task_id, name_, queue, *rest in cursor.fetchall()
        ]


def _now(using: str) -> datetime:
    """By the clock that decides what is due."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
    return now


def _left(changed: Sequence[Handled]) -> Tally:
    """What is finished no more, or gone."""
    before = Counter(each.before for each in changed)
    return Tally(
        complete=-before[Status.COMPLETE],
        failed=-before[Status.FAILED],
        cancelled=-before[Status.CANCELLED],
    )
