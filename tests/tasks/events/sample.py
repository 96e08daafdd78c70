"""Build events."""

from __future__ import annotations

from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.models import Event


def an_event(
    kind: EventKind = EventKind.COMPLETE, task_id: int | None = 1, **fields: object
) -> NewEvent:
    """Return an event of a task."""
    return NewEvent(kind, "in 2 ms", task_id, "a.task", **{"queue": "mail", **fields})  # type: ignore[arg-type]


def kept(first: int, last: int, **fields: object) -> list[Event]:
    """Return stored events with these ids."""
    from django.utils import timezone

    now = timezone.now()
    return [
        Event(pk=pk, at=now, kind="complete", text="in 2 ms", **fields)  # type: ignore[misc]
        for pk in range(first, last + 1)
    ]
