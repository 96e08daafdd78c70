"""Buffer the newest events in memory, and queue new ones for the readers of this process."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django_eventstream.event import Event as Message
from django_eventstream.views import ListenerManager

from taskmaster.tasks.conf import settings
from taskmaster.tasks.events import channels
from taskmaster.tasks.models import Event

#: Number of past events that a new client receives.
NEWEST = 250
#: Maximum number of events in one message. More events are sent as several messages.
_EVENTS_MAX = 50

#: Returns a channel's messages after an id, or None if some of them may be lost.
MessageSource = Callable[[int], list[Message] | None]


class StreamListeners(ListenerManager):
    """Manage the readers of this process, separately from readers of the project's own channels.

    Events reach every process through PostgreSQL, so the setting EVENTSTREAM_REDIS is not used.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.listeners_by_channel: dict[str, set[Any]] = {}
        self.redis_listener = None

    def has_readers(self) -> bool:
        """Return whether this process has a reader."""
        return bool(self.listeners_by_channel)

    def wake(self) -> None:
        """Wake all readers. Called in their event loop."""
        with self.lock:
            for readers in self.listeners_by_channel.values():
                for reader in readers:
                    reader.aevent.set()


listeners = StreamListeners()


class EventBuffer:
    """Store the newest events in the order of their ids.

    One thread writes. Any thread may read.
    """

    def __init__(self) -> None:
        #: The list is replaced and never modified, because other threads read it.
        self._events: list[Event] = []
        #: The buffer holds all events after this id, up to `newest`.
        self._complete_from = 0
        #: The id of the newest event that was read. All lower ids were read, too.
        self.newest = 0

    def refill(self, events: Sequence[Event]) -> None:
        """Replace the content with `events`, the newest events of the table."""
        self._events, self.newest, self._complete_from = [], 0, 0
        self.append(events)

    def append(self, events: Sequence[Event]) -> None:
        """Add events that are newer than all events in the buffer, and drop the oldest."""
        if not events:
            return
        most = settings().events_kept
        # The table is pruned by id, and ids have gaps. So a gap in the ids shows no loss; only a
        # distance above `events_kept` means that events may have been pruned before they were read.
        lost = events[-1].pk - self.newest > most
        before = [] if lost else self._events
        kept = [*before, *events][-most:]
        if lost or len(kept) < len(before) + len(events):
            self._complete_from = kept[0].pk - 1
        self._events = kept
        self.newest = events[-1].pk

    def since(self, last_id: int, channel: str) -> list[Event] | None:
        """Return the channel's events after `last_id`, or None if some of them may be lost."""
        if not self._complete_from <= last_id <= self.newest:
            return None
        events = self._events
        later = events[bisect_right(events, last_id, key=lambda event: event.pk) :]
        return [event for event in later if channel in channels.for_event(event)]

    def messages(self, channel: str, last_id: int) -> list[Message] | None:
        """Return the channel's messages after `last_id`, or None if some of them may be lost."""
        events = self.since(last_id, channel)
        return None if events is None else list(messages(channel, events))

    def position(self, channel: str, count: int = NEWEST) -> int:
        """Return the id after which the channel's newest `count` events follow."""
        found = 0
        for event in reversed(self._events):
            if channel in channels.for_event(event):
                found += 1
                if found > count:
                    return event.pk
        return self._complete_from


#: The event buffer of this process.
event_buffer = EventBuffer()


def messages(channel: str, events: Sequence[Event]) -> Iterator[Message]:
    """Yield the events as stream messages. Each message has the id of its last event."""
    for first in range(0, len(events), _EVENTS_MAX):
        group = events[first : first + _EVENTS_MAX]
        data = json.dumps({"events": [_fields(event) for event in group]})
        yield Message(channel, "events", data, id=group[-1].pk)


def deliver(events: Sequence[Event]) -> None:
    """Add new events to the buffer, and queue them for the readers of their channels."""
    event_buffer.append(events)
    read = listeners.listeners_by_channel
    by_channel: dict[str, list[Event]] = {}
    for event in events:
        for channel in channels.for_event(event):
            if channel in read:
                by_channel.setdefault(channel, []).append(event)
    for channel, its_events in by_channel.items():
        for message in messages(channel, its_events):
            listeners.add_to_queues(channel, message)


def _fields(event: Event) -> dict[str, Any]:
    """Return the fields of an event that clients receive."""
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
