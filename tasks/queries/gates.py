"""List what a pending or parked task has passed and what holds it, in the scheduler's order."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS

from taskmaster.tasks.fleet import CAPACITY_AGE_MAX_S
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import QueueOutlook
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.pending_reason import is_known
from taskmaster.tasks.queries.timeline import precise
from taskmaster.tasks.store import sync_store as store


@dataclass(frozen=True, slots=True)
class Gate:
    """Describe a condition of the start: its name, what is known, and its state."""

    name: str
    fact: str
    #: `complete` (passed), `pending` (it holds the task) or `later`.
    kind: str


def gates(task: Task) -> list[Gate]:
    """Return the gates of a pending or parked task, or an empty list in any other status."""
    if task.status not in (Status.PENDING, Status.WAITING):
        return []
    using = task._state.db or DEFAULT_DB_ALIAS
    outlook = store.read_queue_outlook(
        task.queue,
        task.scheduled_at,
        task.coordinator,
        silence_s=CAPACITY_AGE_MAX_S,
        using=using,
    )
    found: list[Gate] = []
    held = False
    for name, passed, fact in _conditions(task, outlook, using):
        kind = "later" if held else "complete" if passed else "pending"
        held = held or not passed
        found.append(Gate(name, fact, kind))
    return found


def _conditions(task: Task, outlook: QueueOutlook, using: str) -> list[tuple[str, bool, str]]:
    """Return name, whether it is passed, and what is known, of each gate."""
    due = outlook.due_in_s <= 0
    wait = precise(abs(outlook.due_in_s))
    known = is_known(task, using)
    return [
        ("It is due" if due else "Due time", due, f"for {wait}" if due else f"in {wait}"),
        (
            "Coordinators run",
            outlook.coordinators > 0,
            f"{outlook.coordinators or 'none'} reported in the last {CAPACITY_AGE_MAX_S:.0f} s",
        ),
        (
            "Workers serve its queue",
            outlook.workers > 0,
            f"{_count(outlook.workers, 'worker')} for the queue {task.queue}",
        ),
        ("A worker knows its name", known, task.name if known else f"none knows {task.name}"),
        (
            "A slot is free",
            outlook.free > 0,
            f"{outlook.free:,} of {_count(outlook.slots, 'slot')} free",
        ),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
