"""The activity log as people read it: a flood of counts is one line a second."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.events.event import ORDINARY, Kind
from tasks.models import Event
from tasks.templatetags.taskmaster import tasks

#: What happens to every task on its way, and says nothing to who looks at all of them.
UNTOLD = (Kind.PICKED, Kind.RELEASED)


def lines(events: Iterable[Event]) -> list[Event]:
    """The same events, newest first, with the counts of one kind and second in one line.

    The stream and the API have them queue by queue and worker by worker. A line keeps the id of its
    first event while it grows.
    """
    shown: list[Event] = []
    growing: dict[tuple[str, int], list[Event]] = {}
    for event in events:
        if event.task_id is not None or event.user or event.kind not in ORDINARY:
            shown.append(event)
            continue
        key = event.kind, int(event.at.timestamp())
        if key not in growing:
            growing[key] = []
            shown.append(event)
        growing[key].append(event)
    sums = {id(group[0]): _sum(group) for group in growing.values()}
    return [sums.get(id(event), event) for event in shown]


def _sum(group: list[Event]) -> Event:
    if len(group) == 1:
        return group[0]
    count = sum(event.count for event in group)
    text = tasks(count)
    for word, one, many in (
        ("of", {event.queue for event in group}, "queues"),
        ("on", {event.worker for event in group}, "workers"),
    ):
        known = one - {""}
        if known:
            text += f" {word} {known.pop() if len(known) == 1 else f'{len(known)} {many}'}"
    newest, first = group[0], group[-1]
    return Event(pk=first.pk, at=newest.at, kind=newest.kind, text=text, count=count)
