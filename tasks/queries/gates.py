"""List what a pending or parked task has passed and what holds it, in the scheduler's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS

from taskmaster.tasks.fleet import CAPACITY_AGE_MAX_S
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import QueueOutlook
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.pauses import find_pause
from taskmaster.tasks.queries.pending_reason import is_known, is_unknown_to_some
from taskmaster.tasks.queries.timeline import precise
from taskmaster.tasks.store import sync_store as store


@dataclass(frozen=True, slots=True)
class Gate:
    """Describe a condition of the start: its name, what is known, and its state."""

    name: str
    fact: str
    #: `complete` (passed), `pending` (it holds the task) or `later` (not checked).
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
    for condition in _conditions(task, outlook, using):
        found.append(condition.gate(checked=not held))
        held = held or not condition.passed
    return found


class _Condition(NamedTuple):
    """Describe a condition by its name before it is checked, its result and what is known."""

    name: str
    passed: bool
    name_if_passed: str
    name_if_not: str
    fact: str

    def gate(self, *, checked: bool) -> Gate:
        if not checked:
            return Gate(self.name, "not checked", "later")
        if self.passed:
            return Gate(self.name_if_passed, self.fact, "complete")
        return Gate(self.name_if_not, self.fact, "pending")


def _conditions(task: Task, outlook: QueueOutlook, using: str) -> list[_Condition]:
    """Return the conditions of the start in the scheduler's order."""
    due = outlook.due_in_s <= 0
    wait = precise(abs(outlook.due_in_s))
    known = is_known(task, using)
    pause = find_pause(task.queue, task.name, using=using)
    return [
        _Condition(
            "No pause",
            pause is None,
            "Nothing is paused",
            "It is paused",
            f"neither the queue {task.queue} nor its name" if pause is None else pause.sentence,
        ),
        _Condition(
            "Due time", due, "It is due", "Due time", f"for {wait}" if due else f"in {wait}"
        ),
        _Condition(
            "A running coordinator",
            outlook.coordinators > 0,
            "Coordinators run",
            "No coordinator runs",
            f"{outlook.coordinators or 'none'} reported in the last {CAPACITY_AGE_MAX_S:.0f} s",
        ),
        _Condition(
            "A worker for its queue",
            outlook.workers > 0,
            "Workers serve its queue",
            "No worker serves its queue",
            f"{_count(outlook.workers, 'worker')} for the queue {task.queue}",
        ),
        _Condition(
            "A worker for its name",
            known,
            "A worker knows its name",
            "No worker knows its name",
            task.name if known else f"none that serves {task.queue} knows {task.name}",
        ),
        _slots(task, outlook, using),
    ]


def _slots(task: Task, outlook: QueueOutlook, using: str) -> _Condition:
    """Return the condition of a free slot. Slots are counted by queue, and not by name."""
    name = "A free slot"
    if outlook.free and is_unknown_to_some(task, using):
        return _Condition(name, False, name, name, f"of a worker that knows {task.name}")
    fact = f"{outlook.free:,} of {_count(outlook.slots, 'slot')} free"
    return _Condition(name, outlook.free > 0, "A slot is free", "No slot is free", fact)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
