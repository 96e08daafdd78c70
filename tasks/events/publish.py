"""Publish events from web processes, commands and other users of Django's connection.

A publication waits for an advisory lock that all processes share. A separate thread keeps that wait
out of requests.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from django.db import DEFAULT_DB_ALIAS, DataError, IntegrityError, connections, transaction
from django.db import Error as DatabaseError
from psycopg_pool import PoolTimeout

from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.aggregate import SINGLES_MAX
from taskmaster.tasks.events.unpublished import GATHER_S, PAUSE_S, RETRY_S, UnpublishedEvents
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.store import sync_store as store

log = logging.getLogger(__name__)


def publish(events: Iterable[NewEvent], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Publish events when the current transaction commits, or now if there is none.

    Database errors are logged and not raised, since the change that an event describes is already
    stored. The events are published as soon as the database works again.
    """
    gathered = list(events)
    if gathered:
        transaction.on_commit(lambda: _publisher(using).add(gathered), using=using)


def publish_submitted(
    ids: Sequence[int], tasks: Sequence[NewTask], by: str = "", *, using: str = DEFAULT_DB_ALIAS
) -> None:
    """Publish one event for each submitted task, or one count for each queue if there are many.

    The interfaces for users call it, such as the dashboard's form. `enqueue` publishes nothing,
    since an event would cost more than the submission.
    """
    suffix = f" by {by}" if by else ""
    if len(ids) > SINGLES_MAX:
        events = [
            NewEvent(
                EventKind.SUBMITTED,
                f"{count:,} tasks to {queue}{suffix}",
                queue=queue,
                user=by,
                count=count,
            )
            for queue, count in Counter(task.queue for task in tasks).items()
        ]
    else:
        events = [
            NewEvent(
                EventKind.SUBMITTED, f"to {task.queue}{suffix}", pk, task.name, task.queue, user=by
            )
            for pk, task in zip(ids, tasks, strict=True)
        ]
    publish(events, using=using)


class ThreadedEventPublisher:
    """Publish the events of all threads of a process from one thread."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._unpublished = UnpublishedEvents((DataError, IntegrityError))
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        atexit.register(self.drain, 2.0)

    def add(self, events: Sequence[NewEvent]) -> None:
        """Add events to the next publication."""
        with self._changed:
            self._unpublished.add(events)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, within_s: float) -> bool:
        """Wait until all events are published. Return False if that exceeds `within_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (len(self._unpublished) or self._busy), within_s
            )

    def _run(self) -> None:
        failing = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._unpublished) > 0)
                self._busy = True
            time.sleep(GATHER_S)
            try:
                self._publish()
                failing = False
            except (DatabaseError, PoolTimeout) as error:
                if not failing:
                    reason = str(error).strip()
                    log.warning("events not published, retrying", extra={"error": reason})
                failing = True
            finally:
                connections[self._using].close()
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
            time.sleep(PAUSE_S + (RETRY_S if failing else 0.0))

    def _publish(self) -> None:
        with self._unpublished.publication() as gathered:
            # Read the watched tasks only if events will be aggregated, which is rare.
            watched = (
                store.list_watched_tasks(using=self._using)
                if gathered.size > SINGLES_MAX
                else set()
            )
            store.publish_events(gathered.aggregated(watched), using=self._using)


_publishers: dict[str, ThreadedEventPublisher] = {}
_lock = threading.Lock()


def _publisher(using: str) -> ThreadedEventPublisher:
    with _lock:
        if using not in _publishers:
            _publishers[using] = ThreadedEventPublisher(using)
        return _publishers[using]


def drain(within_s: float = 2.0) -> bool:
    """Wait until the events of this process are published. Return False after a time-out.

    `within_s` applies to each database separately.
    """
    return all(publisher.drain(within_s) for publisher in list(_publishers.values()))
