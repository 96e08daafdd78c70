"""Watch the links behind a page: from this process to the database, coordinators and workers.

Every stream sends the result in its keep-alive. The page adds its own link to this process. So a
page can state how old its figures are, and which link is broken.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.db.models import Count, F, Max, Min, Model, Q
from django.db.models.functions import Now
from psycopg_pool import PoolTimeout

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.conf import settings
from taskmaster.workers.models import Worker, WorkerStatus

log = logging.getLogger(__name__)

#: Seconds between two checks.
_INTERVAL_S = 1.0
#: Seconds without an answer after which the database counts as away.
_DATABASE_AWAY_S = 3.0
#: Seconds after which a coordinator counts as silent. It writes a heartbeat every 0.4 s.
COORDINATOR_SILENT_S = 2.5
#: The same for a worker, as a multiple of its heartbeat interval.
_WORKER_SILENT_INTERVALS = 2.0


class SignsOfLife(NamedTuple):
    """Hold how many processes of a kind are online, and how many of them are silent.

    `age_s` is the age of the oldest last sign of life among them. If none is online, it is the age
    of the newest one of all that ever were, or None.
    """

    online: int
    silent: int
    age_s: float | None


class LinkMonitor:
    """Check the links while this process has readers."""

    def __init__(
        self,
        *,
        has_readers: Callable[[], bool],
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._has_readers = has_readers
        #: Called when the state of a link has changed.
        self._on_change = on_change
        self._clock = clock
        #: Time of the last answer of the database. None: not checked yet.
        self._answered_at: float | None = None
        self._error = ""
        self._coordinators: SignsOfLife | None = None
        self._workers: SignsOfLife | None = None
        self._state: object = None
        #: Increases when the state of a link changes.
        self.version = 0

    async def run(self) -> None:
        """Check until cancelled."""
        await run_every(
            _INTERVAL_S,
            self._check,
            retry_on=(DatabaseError, PoolTimeout),
            on_error=self._record_error,
        )

    def text(self) -> str:
        """Return the links as JSON, with ages at this moment.

        `database.error` is empty while the database answers. The entries of coordinators and
        workers are null while they are unknown.
        """
        waited_s = 0.0 if self._answered_at is None else self._clock() - self._answered_at
        away = bool(self._error) or waited_s > _DATABASE_AWAY_S
        return json.dumps(
            {
                "database": {
                    "age_s": round(waited_s, 1),
                    "error": (self._error or "no answer") if away else "",
                },
                "coordinators": None if away else _entry(self._coordinators, waited_s),
                "workers": None if away else _entry(self._workers, waited_s),
            },
            separators=(",", ":"),
        )

    async def _check(self) -> None:
        if not self._has_readers():
            # An old answer says nothing about the database when the next reader comes.
            self._answered_at = None
            return
        if self._answered_at is None:
            self._answered_at = self._clock()
        self._coordinators, self._workers = await sync_to_async(_read, thread_sensitive=False)()
        self._answered_at, self._error = self._clock(), ""
        self._notice()

    def _record_error(self, error: Exception) -> None:
        if not self._error:
            log.warning("links not checked", extra={"error": str(error).strip()})
        # The first line names the reason. Addresses and names of the database are left out.
        self._error = "connection refused" if "refused" in str(error) else "not reached"
        self._notice()

    def _notice(self) -> None:
        """Report a change of state. A change of age is not one."""
        groups = (self._coordinators, self._workers)
        state = (bool(self._error), [each and (each.online, each.silent) for each in groups])
        if state != self._state:
            self._state = state
            self.version += 1
            self._on_change()


def worker_silent_s() -> float:
    """Return the seconds after which a worker counts as silent."""
    return _WORKER_SILENT_INTERVALS * settings().heartbeat_interval_s


def silent_for(seconds: float) -> Q:
    """Select the rows that were not seen for this time, by the database's clock."""
    return Q(last_seen_at__lt=Now() - timedelta(seconds=seconds))


def _entry(signs: SignsOfLife | None, waited_s: float) -> dict[str, object] | None:
    if signs is None:
        return None
    age_s = None if signs.age_s is None else round(signs.age_s + waited_s, 1)
    return {"online": signs.online, "silent": signs.silent, "age_s": age_s}


def _read() -> tuple[SignsOfLife, SignsOfLife]:
    """Read the last signs of life, by the database's clock."""
    try:
        return (
            _signs_of_life(Coordinator, Q(online=True), COORDINATOR_SILENT_S),
            _signs_of_life(Worker, ~Q(status=WorkerStatus.OFFLINE), worker_silent_s()),
        )
    finally:
        connection.close()


def _signs_of_life(model: type[Model], online: Q, silent_s: float) -> SignsOfLife:
    silent = silent_for(silent_s)
    found = model._default_manager.aggregate(
        how_many=Count("pk", filter=online),
        how_many_silent=Count("pk", filter=online & silent),
        oldest=Now() - Min("last_seen_at", filter=online),
        newest=Now() - Max(F("last_seen_at")),
    )
    age = found["oldest"] or found["newest"]
    age_s = None if age is None else max(0.0, age.total_seconds())
    return SignsOfLife(found["how_many"], found["how_many_silent"], age_s)
