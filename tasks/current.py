"""Tell a running task its id, its attempt and the due time of its schedule."""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import datetime

_current: ContextVar[CurrentTask | None] = ContextVar("taskmaster_current_task", default=None)


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """Identify the task that runs."""

    id: int
    #: Number of the attempt, counted from 1.
    attempt: int
    #: Due time of the schedule that submitted the task, without jitter. None: no schedule did.
    scheduled_for: datetime | None


def current_task() -> CurrentTask | None:
    """Return the task that runs in this context, or None outside a task.

    A thread that the task starts has no context of its own; pass the value to it, or start it with
    `contextvars.copy_context().run`.
    """
    return _current.get()


def enter_task(task: CurrentTask) -> Token[CurrentTask | None]:
    """Set the task of this context. Return what `leave_task` needs."""
    return _current.set(task)


def leave_task(token: Token[CurrentTask | None]) -> None:
    """Set the task of this context to what it was before."""
    _current.reset(token)
