"""Hears of new events and reads them: one connection for a whole web process.

NOTIFY is a hint: what is read is always "everything after the newest that was seen", so nothing
that was missed while the connection was away is missing afterwards, and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from tasks.conf import settings
from tasks.events import ring
from tasks.events.pace import Pace
from tasks.models import Event

log = logging.getLogger(__name__)

EVENT = "taskmaster_event"
OUTPUT = "taskmaster_output"
#: Without any message it looks by itself: behind a pooler in transaction mode nobody is notified.
_SAFETY_S = 1.0
#: A connection that does not answer within this time is given up.
_ANSWER_S = 5.0
#: At most ten deliveries a second, however many processes publish; a few at once.
_INTERVAL_S, _BURST = 0.1, 3
_RETRY_S = (0.1, 2.0)
#: By name: a later version may have added some, while this one still runs.
_COLUMNS = 'id, at, kind, text, task_id, task, queue, worker, worker_id, "user", count'
_NEWER = f"SELECT {_COLUMNS} FROM tasks_event WHERE id > %s ORDER BY id LIMIT %s"
_NEWEST = (
    f"SELECT * FROM (SELECT {_COLUMNS} FROM tasks_event ORDER BY id DESC LIMIT %s) AS newest "
    "ORDER BY id"
)

Row: TypeAlias = dict[str, Any]


class EventListener:
    """Keeps the ring of this process up to date until it is cancelled."""

    def __init__(
        self,
        info: str,
        *,
        on_events: Callable[[list[Event]], None],
        on_output: Callable[[Iterable[int]], None],
        on_change: Callable[[bool], None],
    ) -> None:
        self._info = info
        self._on_events = on_events
        #: Called with the watched tasks that printed something.
        self._on_output = on_output
        #: Called with whether it is connected.
        self._on_change = on_change
        self._filled = False
        self._pace = Pace(_INTERVAL_S, _BURST)
        #: Set once the ring has been read for the first time.
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Listens, connecting anew whenever the connection breaks."""
        pause, longest = _RETRY_S
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._info, autocommit=True, prepare_threshold=None, row_factory=dict_row
                ) as connection:
                    await connection.execute(f"LISTEN {EVENT}")
                    await connection.execute(f"LISTEN {OUTPUT}")
                    await self._catch_up(connection)
                    self.ready.set()
                    self._on_change(True)
                    pause = _RETRY_S[0]
                    await self._hear(connection)
            except (psycopg.Error, TimeoutError) as error:
                log.warning(
                    "event listener lost its connection", extra={"error": str(error).strip()}
                )
            self._on_change(False)
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _hear(self, connection: AsyncConnection[Row]) -> None:
        while True:
            printed: set[int] = set()
            async for each in connection.notifies(timeout=_SAFETY_S, stop_after=1):
                if each.channel == OUTPUT:
                    printed.update(int(word) for word in each.payload.split() if word.isdigit())
            if printed:
                self._on_output(printed)
            async with asyncio.timeout(_ANSWER_S):
                found = await self._catch_up(connection)
            if found:
                await self._pace.turn()

    async def _catch_up(self, connection: AsyncConnection[Row]) -> bool:
        """Reads what is newer than all that was seen; returns whether there was any."""
        kept = settings().events_kept
        if not self._filled:
            rows = await (await connection.execute(_NEWEST, [kept])).fetchall()
            ring.ring.refill([Event(**row) for row in rows])
            self._filled = True
            return False
        rows = await (await connection.execute(_NEWER, [ring.ring.newest, kept])).fetchall()
        events = [Event(**row) for row in rows]
        if events:
            ring.deliver(events)
            self._on_events(events)
        return bool(events)
