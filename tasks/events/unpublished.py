"""Gather events until they are published, in any process: the core of every event publisher.

Two publishers use it, which differ in their connection only: `taskmaster.tasks.events.publish` on
Django's connection, and `taskmaster.coordinator.events.publisher` on a coordinator's. Both run the
same cycle: wait for an event, gather for `GATHER_S`, publish, pause for `PAUSE_S`. After an error
they pause for `RETRY_S` more and publish the same events again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.events.aggregate import EventBatch, aggregate

log = logging.getLogger(__name__)

#: Seconds between two publications of a process.
_INTERVAL_S: Final = 0.1
#: Seconds to wait for further events before publishing. A short task is claimed, started and
#: completed within this time, so all its events are in one publication.
GATHER_S: Final = 0.015
#: Seconds between a publication and the next event that may start one.
PAUSE_S: Final = _INTERVAL_S - GATHER_S
#: Seconds of further pause after an error.
RETRY_S: Final = 0.5
#: Maximum number of events that wait for publication. Further events are dropped.
_UNPUBLISHED_MAX = 50_000
#: Seconds between two log lines about dropped events.
_LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class GatheredEvents:
    """Hold the events of one publication."""

    events: list[NewEvent]
    batches: list[EventBatch]
    size: int

    def aggregated(self, watched: Set[int]) -> Sequence[NewEvent]:
        """Return the events to publish; `aggregate` defines which of them are counts."""
        return aggregate(self.events, self.batches, watched)


class UnpublishedEvents:
    """Gather the events of one process. Any thread may add events, one publishes them.

    `rejected_errors` are the errors after which PostgreSQL would reject the same events again.
    """

    def __init__(
        self,
        rejected_errors: tuple[type[Exception], ...],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rejected_errors = rejected_errors
        self._clock = clock
        self._lock = threading.Lock()
        self._events: list[NewEvent] = []
        self._batches: list[EventBatch] = []
        self._size = 0
        self._dropped = 0
        self._drop_logged_at = float("-inf")

    def __len__(self) -> int:
        """Return the number of events that wait for publication."""
        return self._size

    def add(self, events: Sequence[NewEvent] = (), batches: Sequence[EventBatch] = ()) -> None:
        """Add events to the next publication. Drop them if too many wait already."""
        with self._lock:
            self._add(events, batches)

    @contextmanager
    def publication(self) -> Iterator[GatheredEvents]:
        """Take the events out for a block that publishes them.

        If the block raises an error of `rejected_errors`, drop the events: a retry would be
        rejected again and would block all later events. After any other error the events are the
        first of the next publication.
        """
        # The lock is not held in the block. Other parts of the process add events during it.
        with self._lock:
            gathered = GatheredEvents(self._events, self._batches, self._size)
            self._events, self._batches, self._size = [], [], 0
        try:
            yield gathered
        except self._rejected_errors as error:
            with self._lock:
                reason = str(error).partition("\n")[0]
                self._drop(gathered.size, "events dropped: PostgreSQL rejects them", error=reason)
        except BaseException:
            with self._lock:
                events, batches = self._events, self._batches
                self._events, self._batches = gathered.events, gathered.batches
                self._size = gathered.size
                self._add(events, batches)
            raise

    def _add(self, events: Sequence[NewEvent], batches: Sequence[EventBatch]) -> None:
        size = len(events) + sum(len(each.rows) for each in batches)
        if self._size + size > _UNPUBLISHED_MAX:
            self._drop(size, "events dropped: too many wait for the database")
            return
        self._events += events
        self._batches += batches
        self._size += size

    def _drop(self, count: int, reason: str, **details: object) -> None:
        self._dropped += count
        now = self._clock()
        if now - self._drop_logged_at >= _LOG_EVERY_S:
            log.warning(reason, extra={"count": self._dropped, **details})
            self._dropped, self._drop_logged_at = 0, now
