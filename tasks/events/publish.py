"""Publishes events from the web, the command line and whatever else uses Django's connection.

What is published within a tenth of a second goes out together, from a thread of its own: a
publication takes its turn among all processes, and no request waits for that.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from psycopg_pool import PoolTimeout

from tasks.conf import settings
from tasks.events.event import NewEvent
from tasks.events.fold import fold
from tasks.statements import statement

log = logging.getLogger(__name__)

#: The shortest time between two publications of a process, in seconds.
INTERVAL_S = 0.1
#: The key of the advisory lock by which publishers take turns.
TURN = 0x7461736B6576
#: Old events are dropped with every so many publications.
FORGET_EVERY = 200
#: More are not kept while the database is away.
_WAITING_MAX = 10_000
_TEXT_MAX, _NAME_MAX = 300, 200


def publish(events: Iterable[NewEvent], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Publishes once the current transaction, if any, has been committed.

    Raises nothing: what happened has happened, whether or not it is shown.
    """
    gathered = list(events)
    if gathered:
        transaction.on_commit(lambda: _outbox(using).put(gathered), using=using)


def columns(events: Sequence[NewEvent]) -> dict[str, Any]:
    """The parameters of publish.sql."""
    return {
        "turn": TURN,
        "kinds": [str(each.kind) for each in events],
        "texts": [each.text[:_TEXT_MAX] for each in events],
        "task_ids": [each.task_id for each in events],
        "tasks": [each.task[:_NAME_MAX] for each in events],
        "queues": [each.queue for each in events],
        "workers": [each.worker for each in events],
        "worker_ids": [each.worker_id for each in events],
        "users": [each.user for each in events],
        "counts": [each.count for each in events],
    }


class Outbox:
    """Gathers events of every thread and publishes them from one."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._waiting: deque[NewEvent] = deque(maxlen=_WAITING_MAX)
        self._filled = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._published = 0
        atexit.register(self.drain, 2.0)

    def put(self, events: Sequence[NewEvent]) -> None:
        """Adds events to the next publication."""
        with self._filled:
            self._waiting.extend(events)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
            self._filled.notify_all()

    def drain(self, within_s: float) -> bool:
        """Waits until everything is published; returns whether it was in time."""
        with self._filled:
            return self._filled.wait_for(lambda: not (self._waiting or self._busy), within_s)

    def _run(self) -> None:
        while True:
            with self._filled:
                self._filled.wait_for(lambda: bool(self._waiting))
                gathered = list(self._waiting)
                self._waiting.clear()
                self._busy = True
            try:
                self._publish(fold(gathered))
            except (DatabaseError, PoolTimeout) as error:
                log.warning("events not published", extra={"error": str(error).strip()})
            finally:
                connections[self._using].close()
                with self._filled:
                    self._busy = False
                    self._filled.notify_all()
            # A pause, not a wait: what comes meanwhile goes out together.
            threading.Event().wait(INTERVAL_S)

    def _publish(self, events: Sequence[NewEvent]) -> None:
        with connections[self._using].cursor() as cursor:
            cursor.execute(statement("publish"), columns(events))
            if self._published % FORGET_EVERY == 0:
                cursor.execute(statement("forget_events"), {"kept": settings().events_kept})
        self._published += 1


_outboxes: dict[str, Outbox] = {}
_lock = threading.Lock()


def _outbox(using: str) -> Outbox:
    with _lock:
        if using not in _outboxes:
            _outboxes[using] = Outbox(using)
        return _outboxes[using]


def drain(within_s: float = 2.0) -> bool:
    """Waits until what this process published is out; returns whether it was in time."""
    return all(outbox.drain(within_s) for outbox in list(_outboxes.values()))
