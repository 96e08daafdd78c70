"""Pause and resume everything, a queue or a task name, for users.

Pages, REST and commands call these functions and no others. Each works in one transaction. `user`
is None for the command line, which has all permissions.

A pause stops the start of tasks, whatever created them. The pause of all schedules is a different
one: without runs, schedules create no tasks, and all other tasks start.
"""

from __future__ import annotations

from django.db import transaction

from taskmaster.tasks import fleet, registry
from taskmaster.tasks.errors import Conflict, InvalidField, PauseNotFound
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.models import Pause
from taskmaster.tasks.options import json_type, queue_name, short_text
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW, require
from taskmaster.tasks.policy_messages import PauseKind
from taskmaster.tasks.schedules.users import ScheduleUser, name_of, parse_reason
from taskmaster.tasks.store import policy_changes as store
from taskmaster.tasks.store.schedule_changes import read_clock

#: Most characters of the text of an event.
_EVENT_TEXT_MAX = 300


def pause(kind: object, target: object, reason: object, *, user: ScheduleUser | None) -> Pause:
    """Pause everything, a queue or a task name. Return the pause.

    `target` is the queue or the task name, and empty for everything. Picked tasks are pending
    again, and started tasks continue. Raise NotAllowed, InvalidField, or Conflict if it is paused
    already.
    """
    _check_user(user)
    kind = parse_kind(kind)
    target = _parse_target(kind, target)
    reason = parse_reason(reason)
    with transaction.atomic():
        made, created = Pause.objects.get_or_create(
            kind=kind,
            target=target,
            defaults={"paused_at": read_clock(), "paused_by": name_of(user), "reason": reason},
        )
        if not created:
            raise Conflict(f"{made.sentence} Resume it before you pause it again.")
        released = store.release_paused_tasks(
            queue=target if kind is PauseKind.QUEUE else None,
            name=target if kind is PauseKind.NAME else None,
        )
        store.notify_pauses()
        text = f"returned to the queue: {made.subject} is paused"
        publish(
            [
                _event(made, "paused", user),
                *(
                    NewEvent(EventKind.RELEASED, text[:_EVENT_TEXT_MAX], *each[:3])
                    for each in released
                ),
            ]
        )
    return made


def resume(kind: object, target: object, *, user: ScheduleUser | None) -> Pause:
    """End the pause of everything, a queue or a task name. Return the pause that has ended.

    What else is paused stays paused. Raise NotAllowed, InvalidField, or Conflict.
    """
    _check_user(user)
    kind = parse_kind(kind)
    if not isinstance(target, str):
        raise InvalidField("target", f"must be a string, not {json_type(target)}.")
    with transaction.atomic():
        found = Pause.objects.select_for_update().filter(kind=kind, target=target).first()
        if found is None:
            subject = Pause(kind=kind, target=target).subject
            raise Conflict(f"{subject[0].upper()}{subject[1:]} is not paused.")
        Pause.objects.filter(pk=found.pk).delete()
        store.notify_pauses()
        publish([_event(found, "resumed", user)])
    return found


def resume_by_id(pause_id: str, *, user: ScheduleUser | None) -> Pause:
    """End the pause with this id, and return it. Raise NotAllowed, PauseNotFound or Conflict."""
    _check_user(user)
    value = parse_id(pause_id)
    found = Pause.objects.filter(pk=value).first() if value is not None else None
    if found is None:
        raise PauseNotFound(pause_id)
    return resume(found.kind, found.target, user=user)


def parse_kind(value: object) -> PauseKind:
    """Validate the kind of a pause. Raise InvalidField."""
    try:
        return PauseKind(value)  # type: ignore[arg-type]
    except ValueError:
        rule = f"is {value!r}; it must be {', '.join(list(PauseKind)[:-1])} or {PauseKind.NAME}."
        raise InvalidField("kind", rule) from None


def _check_user(user: ScheduleUser | None) -> None:
    """Raise NotAllowed unless the user may pause. The answer shows what is paused."""
    if user is not None:
        require(user, VIEW, PAUSE_QUEUE)


def _parse_target(kind: PauseKind, value: object) -> str:
    """Validate a target. A queue exists by its use, so every valid queue name is accepted."""
    match kind:
        case PauseKind.EVERYTHING:
            if value not in (None, ""):
                raise InvalidField("target", "must be empty if everything is paused.")
            return ""
        case PauseKind.QUEUE:
            return queue_name(value, "target")
        case PauseKind.NAME:
            name = short_text(value, "target", registry.MAX_NAME)
            if name != registry.SHELL and not fleet.is_announced(name):
                try:
                    registry.require(name)
                except InvalidField as error:
                    raise type(error)("target", error.rule) from None
            return name


def _event(pause: Pause, verb: str, user: ScheduleUser | None) -> NewEvent:
    """Build the event of a change. Readers of events may view tasks, and so pauses."""
    reason = f": {pause.reason}" if verb == "paused" and pause.reason else ""
    return NewEvent(
        EventKind.OPERATOR,
        f"{verb} {pause.subject}{reason}"[:_EVENT_TEXT_MAX],
        task=pause.target if pause.kind == PauseKind.NAME else "",
        queue=pause.target if pause.kind == PauseKind.QUEUE else "",
        user=name_of(user),
    )
