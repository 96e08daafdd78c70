"""Hears NOTIFY: wake-ups for the claimer, cancellations for the dispatcher.

NOTIFY is a hint over a scan, so what is missed while the connection is away costs the time until
the next safety poll at most. The session also holds the coordinator's advisory lock: when it
breaks, the others may take over what this one holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg
from psycopg import AsyncConnection, sql

from coordinator import store
from tasks.reports import Lease
from tasks.store import Connection

log = logging.getLogger(__name__)

WAKE = "taskmaster_wake"
CANCEL = "taskmaster_cancel"
#: How often the listener looks whether its session still answers.
PROBE_S = 60.0
_PROBE_TIMEOUT_S = 5.0
_RETRY_S = 1.0


class Listener:
    """One LISTEN connection, reconnected for as long as it runs."""

    def __init__(
        self,
        info: str,
        lock_key: int,
        *,
        on_wake: Callable[[], None],
        on_cancel: Callable[[Lease], None],
        on_connect: Callable[[], Awaitable[None]],
    ) -> None:
        self._info = info
        self._lock_key = lock_key
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._on_connect = on_connect
        #: Set while the session listens.
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listens until cancelled."""
        while True:
            try:
                async with await AsyncConnection.connect(self._info, autocommit=True) as connection:
                    await self._listen(connection)
            except (psycopg.Error, TimeoutError) as error:
                log.warning("listener lost its connection", extra={"error": str(error).strip()})
            finally:
                self.listening.clear()
            await asyncio.sleep(_RETRY_S)

    async def _listen(self, connection: Connection) -> None:
        await store.lock(connection, self._lock_key)
        for channel in (WAKE, CANCEL):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        await self._on_connect()
        self.listening.set()
        # What was stored while nobody listened has sent its NOTIFY into the void.
        self._on_wake()
        while True:
            async for notification in connection.notifies(timeout=PROBE_S):
                self._hear(notification.channel, notification.payload)
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await connection.execute("SELECT pg_listening_channels()")

    def _hear(self, channel: str, payload: str) -> None:
        if channel == WAKE:
            self._on_wake()
            return
        try:
            task_id, lease = map(int, payload.split())
        except ValueError:
            log.warning("malformed notification", extra={"channel": channel, "payload": payload})
            return
        self._on_cancel(Lease(task_id, lease))
