"""Hears NOTIFY: wake-ups for claimer and operator, cancellations, wishes for workers.

NOTIFY is a hint over a scan, so what is missed while the connection is away costs the time until
the next safety poll at most. When it has connected, and once a minute, the listener has a message
sent to itself from another session; when that does not come it connects anew, and when that does
not help it says so: behind a pooler in transaction mode nobody hears anything. The session also
holds the coordinator's advisory lock: when it breaks, the others may take over what this one holds.
One of the sessions holds a second lock: its coordinator is the one that reconciles pools.
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
from coordinator.database import TROUBLE
from coordinator.links import COMMANDS
from coordinator.trouble import Trouble
from tasks.reports import Lease
from tasks.store import Connection

log = logging.getLogger(__name__)

WAKE = "taskmaster_wake"
CANCEL = "taskmaster_cancel"
WORKER = "taskmaster_worker"
WATCH = "taskmaster_watch"
OPERATION = "taskmaster_operation"
POOL = "taskmaster_pool"
#: How often the listener sends itself a message.
PROBE_S = 60.0
#: How long that message may take.
_PROBE_TIMEOUT_S = 5.0
_RETRY_S = (0.1, 2.0)
#: A lock that a session of ours still holds, which broke without the server's noticing.
_LOCK_RETRY_S = 5.0
#: How often one that does not reconcile pools tries to become the one that does.
_LEAD_S = 1.0


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
        on_worker: Callable[[UUID, str], None],
        on_watch: Callable[[], None],
        on_operation: Callable[[], None],
        on_pool: Callable[[], None],
        on_connect: Callable[[], Awaitable[None]],
        notify: Callable[[str], Awaitable[None]],
        leading: asyncio.Event,
        probe_s: float = PROBE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._info = info
        self._coordinator = coordinator
        self._trouble = trouble
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._on_worker = on_worker
        self._on_watch = on_watch
        self._on_operation = on_operation
        self._on_pool = on_pool
        self._on_connect = on_connect
        #: Sends an empty message to a channel, from another session.
        self._notify = notify
        self._probe_s = probe_s
        self._clock = clock
        self._probe = f"taskmaster_probe_{coordinator.hex}"
        #: Set while the session listens.
        self.listening = asyncio.Event()
        #: Set while the session has the lock of the one coordinator that reconciles pools.
        self._leading = leading
        #: When anything was last heard, the own message among it; at first, since when it listens.
        self.heard_at: float | None = None
        #: How many sessions in a row did not hear themselves.
        self._deaf = 0

    async def run(self) -> None:
        """Listens until cancelled."""
        pause, longest = _RETRY_S
        while True:
            try:
                # Nothing is prepared: it would help nobody once a minute, and hurt behind a pooler.
                async with await AsyncConnection.connect(
                    self._info, autocommit=True, prepare_threshold=None
                ) as connection:
                    pause = _RETRY_S[0]
                    await self._listen(connection)
            except (psycopg.Error, TimeoutError) as error:
                self._trouble.met(error)
            finally:
                self.listening.clear()
                self._leading.clear()
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _listen(self, connection: Connection) -> None:
        """Returns when the session is deaf."""
        locked = await store.lock(connection, self._coordinator)
        for channel in (WAKE, CANCEL, WORKER, WATCH, OPERATION, POOL, self._probe):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        await self._on_connect()
        if self.heard_at is None:
            self.heard_at = self._clock()
        self.listening.set()
        # What was stored while nobody listened has sent its NOTIFY into the void.
        self._on_wake()
        while await self._hears_itself(connection):
            await self._hear_for(connection, self._probe_s if locked else _LOCK_RETRY_S)
            locked = locked or await store.lock(connection, self._coordinator)
        self._deaf += 1
        if self._deaf == 1:
            log.warning("listener does not hear itself, connects anew")
            return
        if self._deaf == 2:
            log.error(
                "listener does not hear itself: wake-ups and cancellations come late; behind a "
                "pooler in transaction mode set DATABASE_DIRECT_URL to the server itself"
            )
        # Another session will hardly do better, so there is no haste; this one keeps the lock.
        await self._hear_for(connection, self._probe_s)

    async def _hears_itself(self, connection: Connection) -> bool:
        """Whether a message of another session comes; one's own comes also where others' do not."""
        while True:
            try:
                await self._notify(self._probe)
                break
            except TROUBLE:
                # Nothing was sent, so nothing is known.
                await self._hear_for(connection, _RETRY_S[1])
        if not await self._hear_for(connection, _PROBE_TIMEOUT_S, until=self._probe):
            return False
        if self._deaf > 1:
            log.info("listener hears itself again")
        self._deaf = 0
        return True

    async def _hear_for(
        self, connection: Connection, seconds: float, *, until: str | None = None
    ) -> bool:
        """Hears for so long, or until a message on a channel; returns whether that came."""
        deadline, came = self._clock() + seconds, False
        # A generator that is left before its end loses what came in the same packet.
        stop_after = None if until is None else 1
        while not came and (left_s := deadline - self._clock()) > 0:
            if not self._leading.is_set():
                left_s = min(left_s, _LEAD_S)
                if await store.lead(connection):
                    self._leading.set()
            async for each in connection.notifies(timeout=left_s, stop_after=stop_after):
                self.heard_at = self._clock()
                came = came or each.channel == until
                self._hear(each.channel, each.payload)
        return came

    def _hear(self, channel: str, payload: str) -> None:
        try:
            match channel:
                case "taskmaster_wake":
                    self._on_wake()
                case "taskmaster_cancel":
                    task_id, lease = map(int, payload.split())
                    self._on_cancel(Lease(task_id, lease))
                case "taskmaster_watch":
                    self._on_watch()
                case "taskmaster_operation":
                    self._on_operation()
                case "taskmaster_pool":
                    self._on_pool()
                case "taskmaster_worker":
                    worker, wanted = payload.split()
                    if wanted not in COMMANDS:
                        raise ValueError(wanted)
                    self._on_worker(UUID(worker), wanted)
        except ValueError:
            log.warning("malformed notification", extra={"channel": channel, "payload": payload})
