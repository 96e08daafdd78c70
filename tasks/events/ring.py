"""The newest events in memory, as the table has them, for everybody who listens at this process."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django_eventstream.event import Event as Message
from django_eventstream.storage import EventDoesNotExist, StorageBase
from django_eventstream.views import get_listener_manager

from tasks.conf import settings
from tasks.events import channels
from tasks.models import Event

#: What a new client is shown of the past.
NEWEST = 250
#: Events in one message: of a long past several are sent.
_TOGETHER = 50


def as_json(event: Event) -> dict[str, Any]:
    """An event as clients see it."""
    return {
        "id": event.pk,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "text": event.text,
        "task_id": event.task_id,
        "task": event.task,
        "queue": event.queue,
        "worker": event.worker,
        "worker_id": str(event.worker_id) if event.worker_id else None,
        "user": event.user,
        "count": event.count,
    }


class Ring:
    """Events in the order of their ids. Used by one thread but for reading."""

    def __init__(self) -> None:
        #: Replaced, never changed: threads read it.
        self._events: list[Event] = []
        #: All after this id are here.
        self._complete_from = 0
        #: Every id up to this one has been seen.
        self.newest = 0

    def refill(self, events: Sequence[Event]) -> None:
        """Begins anew with what the table has."""
        self._events, self.newest, self._complete_from = [], 0, 0
        self.append(events)

    def append(self, events: Sequence[Event]) -> None:
        """Adds what is newer than everything here."""
        if not events:
            return
        most = settings().events_kept
        # The table forgets by the id. Numbers are left out too, so their count says nothing.
        lost = events[-1].pk - self.newest > most
        before = [] if lost else self._events
        kept = [*before, *events][-most:]
        if lost or len(kept) < len(before) + len(events):
            self._complete_from = kept[0].pk - 1
        self._events = kept
        self.newest = events[-1].pk

    def since(self, last_id: int, channel: str) -> list[Event] | None:
        """The channel's events after this id; None when some of them may be gone."""
        if not self._complete_from <= last_id <= self.newest:
            return None
        events = self._events
        later = events[bisect_right(events, last_id, key=lambda event: event.pk) :]
        return [event for event in later if channel in channels.of(event)]

    def start(self, channel: str, count: int = NEWEST) -> int:
        """The id after which the channel's newest `count` events come."""
        found = 0
        for event in reversed(self._events):
            if channel in channels.of(event):
                found += 1
                if found > count:
                    return event.pk
        return self._complete_from

    def listened(self, events: Sequence[Event]) -> dict[str, list[Event]]:
        """These events by the channels to which somebody listens."""
        listening = get_listener_manager().listeners_by_channel
        found: dict[str, list[Event]] = {}
        for event in events:
            for channel in channels.of(event):
                if channel in listening:
                    found.setdefault(channel, []).append(event)
        return found


#: Of this process.
ring = Ring()


def messages(channel: str, events: Sequence[Event]) -> Iterable[Message]:
    """The events as messages of the stream; each has the id of its last event."""
    for first in range(0, len(events), _TOGETHER):
        together = events[first : first + _TOGETHER]
        data = json.dumps({"events": [as_json(event) for event in together]})
        yield Message(channel, "events", data, id=together[-1].pk)


def deliver(events: Sequence[Event]) -> None:
    """Adds new events to the ring and sends them to who listens here."""
    ring.append(events)
    for channel, mine in ring.listened(events).items():
        for message in messages(channel, mine):
            get_listener_manager().add_to_queues(channel, message)


#: Channels that are not the ring's: each has its own way to say what is newer than an id.
others: dict[str, Callable[[int], list[Message]]] = {}


class RingStorage(StorageBase):
    """What django-eventstream reads for who comes back, or was too slow."""

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[Message]:
        """Messages after this id. Raises EventDoesNotExist when some of them may be gone."""
        if channel in others:
            return others[channel](last_id)
        events = ring.since(last_id, channel)
        if events is None:
            raise EventDoesNotExist(f"No event {last_id} is kept.", ring.newest)
        return list(messages(channel, events))[:limit]

    def get_current_id(self, channel: str) -> int:
        """The id after which a new client begins."""
        return 0 if channel in others else ring.newest

    def append_event(self, channel: str, event_type: str, data: Any) -> Message:
        """Events are published by `tasks.events.publish`, never through here."""
        raise NotImplementedError("use tasks.events.publish")
