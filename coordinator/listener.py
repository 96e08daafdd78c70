"""Hears NOTIFY: wake-ups for the claimer, cancellations for the dispatcher, wishes for workers.

NOTIFY is a hint over a scan, so what is missed while the connection is away costs the time until
the next safety poll at most. Once a minute the listener sends itself a message; when that does not
come it connects anew. The session also holds the coordinator's advisory lock: when it breaks, the
others may take over what this one holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql

from coordinator import store
from coordinator.trouble import Trouble
from tasks.reports import Lease
from tasks.store import Connection

log = logging.getLogger(__name__)

WAKE = "taskmaster_wake"
CANCEL = "taskmaster_cancel"
WORKER = "taskmaster_worker"
#: How often the listener sends itself a message.
PROBE_S = 60.0
#: How long that message may take.
_PROBE_TIMEOUT_S = 5.0
_RETRY_S = (0.1, 2.0)


class Listener:
    """One LISTEN connection, reconnected for as long as it runs."""

    def __init__(
        self,
        info: str,
        coordinator: UUID,
        trouble: Trouble,
        *,
        on_wake: Callable[[], None],
        on_cancel: Callable[[Lease], None],
        on_worker: Callable[[UUID, bool], None],
        on_connect: Callable[[], Awaitable[None]],
        probe_s: float = PROBE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._info = info
        self._coordinator = coordinator
        self._trouble = trouble
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._on_worker = on_worker
        self._on_connect = on_connect
        self._probe_s = probe_s
        self._clock = clock
        self._probe = f"taskmaster_probe_{coordinator.hex}"
        #: Set while the session listens.
        self.listening = asyncio.Event()
        #: When anything was last heard, the own message among it.
        self.heard_at: float | None = None

    async def run(self) -> None:
        """Listens until cancelled."""
        pause, longest = _RETRY_S
        while True:
            try:
                async with await AsyncConnection.connect(self._info, autocommit=True) as connection:
                    pause = _RETRY_S[0]
                    await self._listen(connection)
            except (psycopg.Error, TimeoutError) as error:
                self._trouble.met(error)
            finally:
                self.listening.clear()
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _listen(self, connection: Connection) -> None:
        """Returns when the session is deaf."""
        await store.lock(connection, self._coordinator)
        for channel in (WAKE, CANCEL, WORKER, self._probe):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        await self._on_connect()
        self.heard_at = self._clock()
        self.listening.set()
        # What was stored while nobody listened has sent its NOTIFY into the void.
        self._on_wake()
        while True:
            await self._hear_for(connection, self._probe_s)
            await connection.execute("SELECT pg_notify(%s, '')", [self._probe])
            if not await self._hear_for(connection, _PROBE_TIMEOUT_S, until=self._probe):
                log.warning("listener does not hear itself, connects anew")
                return

    async def _hear_for(
        self, connection: Connection, seconds: float, *, until: str | None = None
    ) -> bool:
        """Hears for so long, or until a message on a channel; returns whether that came."""
        async for notification in connection.notifies(timeout=seconds):
            self.heard_at = self._clock()
            if notification.channel == until:
                return True
            self._hear(notification.channel, notification.payload)
        return False

    def _hear(self, channel: str, payload: str) -> None:
        try:
            match channel:
                case "taskmaster_wake":
                    self._on_wake()
                case "taskmaster_cancel":
                    task_id, lease = map(int, payload.split())
                    self._on_cancel(Lease(task_id, lease))
                case "taskmaster_worker":
                    worker, drain = payload.split()
                    self._on_worker(UUID(worker), drain == "true")
        except ValueError:
            log.warning("malformed notification", extra={"channel": channel, "payload": payload})
