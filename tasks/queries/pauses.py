"""Find the pause that keeps a task from starting."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from taskmaster.tasks.models import Pause
from taskmaster.tasks.policy_messages import PauseKind

#: The order in which pauses are named, the widest first.
_ORDER = (PauseKind.EVERYTHING, PauseKind.QUEUE, PauseKind.NAME)


def find_pause(queue: str, name: str, *, using: str = DEFAULT_DB_ALIAS) -> Pause | None:
    """Return the pause of everything, else of the queue, else of the task name, or None."""
    found = Pause.objects.using(using).filter(
        Q(kind=PauseKind.EVERYTHING)
        | Q(kind=PauseKind.QUEUE, target=queue)
        | Q(kind=PauseKind.NAME, target=name)
    )
    return min(found, key=lambda each: _ORDER.index(PauseKind(each.kind)), default=None)


def pause_of_everything() -> Pause | None:
    """Return the pause of everything, or None."""
    return Pause.objects.filter(kind=PauseKind.EVERYTHING).first()
