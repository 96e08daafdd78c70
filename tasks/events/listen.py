"""Listen for new events and read them, with one connection for a web process.

A NOTIFY is only a hint. The listener always reads all events after the newest known id. So events
that were published during a connection loss are read after it, and each event is read once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row

from taskmaster.tasks.backoff import Backoff, run_every
from taskmaster.tasks.conf import settings
from taskmaster.tasks.events.buffer import deliver, event_buffer
from taskmaster.tasks.events.rate_limit import RateLimit
from taskmaster.tasks.models import Event

log = logging.getLogger(__name__)

#: The notify channels.
_EVENT = "taskmaster_event"
_OUTPUT = "taskmaster_output"
#: Interval of the query without a NOTIFY. A pooler in transaction mode does not deliver NOTIFY.
_SAFETY_S = 1.0
#: A connection that does not answer within this time is closed.
_ANSWER_S = 5.0
#: Limit of ten deliveries a second, for any number of publishers, with bursts of three.
_INTERVAL_S, _BURST = 0.1, 3
_RETRY_S = (0.1, 2.0)
#: Explicit column names, since a newer version may have added columns while this one still runs.
_COLUMNS = 'id, at, kind, text, task_id, task, queue, worker, worker_id, "user", count'
_NEWER = f"SELECT {_COLUMNS} FROM taskmaster_tasks_event WHERE id > %s ORDER BY id LIMIT %s"
_NEWEST = (
    f"SELECT * FROM (SELECT {_COLUMNS} FROM taskmaster_tasks_event ORDER BY id DESC LIMIT %s) "
    "AS newest ORDER BY id"
)


class EventListener:
    """Keep the event buffer of this process up to date."""

    def __init__(
        self,
        info: str,
        *,
        on_events: Callable[[list[Event]], None],
        on_output: Callable[[Iterable[int]], None],
        on_connect: Callable[[], None],
    ) -> None:
        self._info = info
        self._on_events = on_events
        #: Called with the ids of watched tasks that have new output.
        self._on_output = on_output
        #: Called after each connect. Notifications may have been lost before.
        self._on_connect = on_connect
        self._filled = False
        self._rate = RateLimit(_INTERVAL_S, _BURST)
        self._backoff = Backoff(*_RETRY_S)
        #: Set when the buffer has been filled for the first time.
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled. Reconnect with back-off when the connection breaks."""
        await run_every(
            0.0,
            self._connect_and_listen,
            retry_on=(psycopg.Error, TimeoutError),
            backoff=self._backoff,
            on_error=_log_failure,
        )

    async def _connect_and_listen(self) -> None:
        async with await AsyncConnection.connect(
            self._info, autocommit=True, prepare_threshold=None, row_factory=class_row(Event)
        ) as connection:
            await connection.execute(f"LISTEN {_EVENT}")
            await connection.execute(f"LISTEN {_OUTPUT}")
            await self._read_events(connection)
            self.ready.set()
            self._on_connect()
            self._backoff.reset()
            await self._listen(connection)

    async def _listen(self, connection: AsyncConnection[Event]) -> None:
        while True:
            with_output: set[int] = set()
            async for each in connection.notifies(timeout=_SAFETY_S, stop_after=1):
                if each.channel == _OUTPUT:
                    with_output.update(int(text) for text in each.payload.split() if text.isdigit())
            if with_output:
                self._on_output(with_output)
            async with asyncio.timeout(_ANSWER_S):
                found = await self._read_events(connection)
            if found:
                await self._rate.wait()

    async def _read_events(self, connection: AsyncConnection[Event]) -> bool:
        """Read the events after the newest known id. Return whether there were any.

        The first call fills the buffer and returns False.
        """
        kept = settings().events_kept
        if not self._filled:
            event_buffer.refill(await (await connection.execute(_NEWEST, [kept])).fetchall())
            self._filled = True
            return False
        newer = await connection.execute(_NEWER, [event_buffer.newest, kept])
        events = await newer.fetchall()
        if events:
            deliver(events)
            self._on_events(events)
        return bool(events)


def _log_failure(error: Exception) -> None:
    log.warning("event listener lost its connection", extra={"error": str(error).strip()})
