"""Condense the activity log for display: counts are added up to one line per kind and second."""

from __future__ import annotations

from collections.abc import Iterable

from taskmaster.tasks.event import ORDINARY, EventKind
from taskmaster.tasks.models import Event
from taskmaster.tasks.templatetags.taskmaster import tasks

#: Kinds left out of the log. They occur for every task and carry no information there.
HIDDEN_KINDS = (EventKind.PICKED, EventKind.RELEASED)


def lines(events: Iterable[Event]) -> list[Event]:
    """Return the events, newest first, with the counts of one kind and second in one line.

    Only ordinary events without a task and a user are merged. The stream and the API keep them
    separate by queue and worker. A merged line has the id of its first event, so the id stays the
    same while the line grows.
    """
    result: list[Event] = []
    groups: dict[tuple[str, int], list[Event]] = {}
    for event in events:
        if event.task_id is not None or event.user or event.kind not in ORDINARY:
            result.append(event)
            continue
        key = event.kind, int(event.at.timestamp())
        if key not in groups:
            groups[key] = []
            result.append(event)
        groups[key].append(event)
    sums = {id(group[0]): _merged(group) for group in groups.values()}
    return [sums.get(id(event), event) for event in result]


def _merged(group: list[Event]) -> Event:
    if len(group) == 1:
        return group[0]
    count = sum(event.count for event in group)
    text = tasks(count)
    for preposition, names, plural in (
        ("of", {event.queue for event in group}, "queues"),
        ("on", {event.worker for event in group}, "workers"),
    ):
        known = names - {""}
        if known:
            text += f" {preposition} {known.pop() if len(known) == 1 else f'{len(known)} {plural}'}"
    newest, first = group[0], group[-1]
    return Event(pk=first.pk, at=newest.at, kind=newest.kind, text=text, count=count)
