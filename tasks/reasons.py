"""Why is it not running? One sentence for each task that has not begun.

The coordinators write down once a second what their workers can take (`QueueState`). Nothing is
said that these figures do not bear out: they may be a second old, and who wrote them may be gone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from tasks.lifecycle import Status
from tasks.models import Task
from tasks.statements import statement
from tasks.templatetags.taskmaster import duration

#: A coordinator that has written nothing for this long does not count.
SILENCE_S = 15.0
#: Tasks before one are counted up to here.
COUNT_MAX = 1_000


class Prospects(NamedTuple):
    """What a task may expect of the coordinators that are alive."""

    #: Negative once it is due.
    due_in_s: float
    coordinators: int
    #: Of those that serve its queue and take tasks.
    workers: int
    slots: int
    free: int
    #: Whether the coordinator that holds it is alive.
    holder_lives: bool


def why(task: Task) -> str | None:
    """Why the task is not running yet, in a sentence; None once it runs or has ended."""
    using = task._state.db or DEFAULT_DB_ALIAS
    match task.status:
        case Status.WAITING:
            return "It waits for other tasks to end."
        case Status.PENDING:
            return _pending(task, _prospects(task, using), using)
        case Status.PICKED:
            return _picked(task, _prospects(task, using))
        case _:
            return None


def _prospects(task: Task, using: str) -> Prospects:
    parameters: dict[str, Any] = {
        "scheduled_at": task.scheduled_at,
        "queue": task.queue,
        "coordinator": task.coordinator,
        "silence_s": SILENCE_S,
    }
    with connections[using].cursor() as cursor:
        cursor.execute(statement("prospects"), parameters)
        return Prospects._make(cursor.fetchone())


def _pending(task: Task, prospects: Prospects, using: str) -> str:
    if prospects.due_in_s > 0:
        due = duration(prospects.due_in_s)
        return _between_attempts(task, due) or f"It is due in {due}."
    if not prospects.coordinators:
        return f"No coordinator seems to run: none has been heard of for {SILENCE_S:.0f} s."
    if not prospects.workers:
        return f"No worker serves the queue `{task.queue}`."
    if not prospects.free:
        return f"{_all_busy(task.queue, prospects)}; {_before(task, using)}."
    return "It is due and waits to be claimed."


def _picked(task: Task, prospects: Prospects) -> str:
    if not prospects.holder_lives:
        return f"The coordinator that holds it has not been heard of for {SILENCE_S:.0f} s."
    if prospects.due_in_s > 0:
        due = duration(prospects.due_in_s)
        return _between_attempts(task, due) or f"A coordinator holds it until its time, in {due}."
    return "A coordinator has claimed it; no worker has accepted it yet."


def _between_attempts(task: Task, due: str) -> str | None:
    """How the newest attempt ended, and when the next is due; None before the first one."""
    if not task.attempt or not task.errors or task.errors[-1].get("attempt") != task.attempt:
        return None
    lost = task.errors[-1].get("class") == "lost"
    fate = "was lost with its worker" if lost else "failed"
    return f"Attempt {task.attempt} of {task.max_attempts} {fate}; the next is due in {due}."


def _all_busy(queue: str, prospects: Prospects) -> str:
    """A slot that is kept for nothing is not free either, so they are not said to be busy."""
    slots, workers = prospects.slots, prospects.workers
    if slots == 1:
        return f"The only slot of the worker that serves `{queue}` is not free"
    served = "worker that serves" if workers == 1 else f"{workers:,} workers that serve"
    return f"None of the {slots:,} slots of the {served} `{queue}` is free"


def _before(task: Task, using: str) -> str:
    parameters: dict[str, Any] = {
        "id": task.pk,
        "queue": task.queue,
        "priority": task.priority,
        "scheduled_at": task.scheduled_at,
        "most": COUNT_MAX + 1,
    }
    with connections[using].cursor() as cursor:
        cursor.execute(statement("before"), parameters)
        count: int = cursor.fetchone()[0]
    if not count:
        return "it is the next of its queue"
    if count == 1:
        return "1 task of the queue is before it"
    many = f"more than {COUNT_MAX:,}" if count > COUNT_MAX else f"{count:,}"
    return f"{many} tasks of the queue are before it"
