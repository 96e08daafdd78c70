"""Receive NOTIFY messages and pass them to the parts of the coordinator.

NOTIFY only shortens the wait: a lost message delays the work
until the next safety poll at most.

The listener probes itself after it has connected and once a minute. Another session sends the
probe message. If the probe does not arrive, the listener reconnects. If it does not arrive on the
second session in a row either, the listener logs an error: behind a pooler in transaction mode no
message ever arrives.

The session also holds the coordinator's advisory lock. When the session breaks, other coordinators
may take over this coordinator's tasks. One session among all coordinators holds a second lock, the
leader lock. Its coordinator reconciles the worker pools and creates the runs of schedules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql

from taskmaster.coordinator import store
from taskmaster.coordinator.dispatch.connections import COMMANDS
from taskmaster.coordinator.support.database import OUTAGE_ERRORS
from taskmaster.tasks.backoff import Backoff, run_every
from taskmaster.tasks.messages import Lease
from taskmaster.tasks.outage_log import OutageLog
from taskmaster.tasks.statements import Connection

log = logging.getLogger(__name__)

#: Seconds between two probes of the listener.
PROBE_S = 60.0
#: Seconds after which a probe that has not arrived counts as lost.
_PROBE_TIMEOUT_S = 5.0
#: First and longest back-off in seconds before a new session.
_RETRY_S = (0.1, 2.0)
#: Seconds between two attempts to take the coordinator's lock. An earlier session of this process
#: may still hold it: the server has not yet noticed that the session broke.
_LOCK_RETRY_S = 5.0
#: Seconds between two attempts to take the leader lock.
_LEADER_RETRY_S = 1.0


class NotifyChannel(StrEnum):
    """Name the notify channels of coordinators."""

    #: Tasks are pending. No payload.
    WAKE = "taskmaster_wake"
    #: A task in flight was cancelled. Payload: task id and lease.
    CANCEL = "taskmaster_cancel"
    #: An operator commands a worker. Payload: worker id and a key of COMMANDS.
    WORKER = "taskmaster_worker"
    #: The set of watched tasks has changed. No payload.
    WATCH = "taskmaster_watch"
    #: A bulk operation was confirmed. No payload.
    OPERATION = "taskmaster_operation"
    #: A worker pool has changed. No payload.
    POOL = "taskmaster_pool"
    #: A schedule has changed. No payload.
    SCHEDULE = "taskmaster_schedule"
    #: Something was paused or resumed. No payload.
    PAUSE = "taskmaster_pause"


class Listener:
    """Keep one LISTEN connection open and dispatch its messages to callbacks.

    `notify` sends an empty message to a notify channel from another session. `leading` is set while
    the session holds the leader lock.
    """

    def __init__(
        self,
        info: str,
        coordinator: UUID,
        outage: OutageLog,
        *,
        on_wake: Callable[[], None],
        on_cancel: Callable[[Lease], None],
        on_command: Callable[[UUID, str], None],
        on_watch: Callable[[], None],
        on_operation: Callable[[], None],
        on_pool: Callable[[], None],
        on_schedule: Callable[[], None],
        on_pause: Callable[[], None],
        on_connect: Callable[[], Awaitable[None]],
        notify: Callable[[str], Awaitable[None]],
        leading: asyncio.Event,
        probe_s: float = PROBE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._info = info
        self._coordinator = coordinator
        self._outage = outage
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._on_command = on_command
        self._on_watch = on_watch
        self._on_operation = on_operation
        self._on_pool = on_pool
        self._on_schedule = on_schedule
        self._on_pause = on_pause
        self._on_connect = on_connect
        self._notify = notify
        self._probe_s = probe_s
        self._clock = clock
        self._probe = f"taskmaster_probe_{coordinator.hex}"
        #: Set while the session listens.
        self.listening = asyncio.Event()
        self._leading = leading
        #: Time of the last message, probes included. Before the first message: time of the first
        #: LISTEN. None: not connected so far.
        self.heard_at: float | None = None
        self._backoff = Backoff(*_RETRY_S)
        #: Number of consecutive sessions on which the probe did not arrive.
        self._lost_probes = 0

    async def run(self) -> None:
        """Listen until cancelled, and reconnect with back-off."""
        await run_every(
            _RETRY_S[0],
            self._run_session,
            retry_on=(psycopg.Error, TimeoutError),
            backoff=self._backoff,
            on_error=self._outage.record_error,
        )

    async def _run_session(self) -> None:
        """Connect and listen. Return when the probe does not arrive on this session."""
        try:
            # Disable prepared statements. The session runs few statements, so they would gain
            # nothing, and they fail behind a pooler.
            async with await AsyncConnection.connect(
                self._info, autocommit=True, prepare_threshold=None
            ) as connection:
                self._backoff.reset()
                await self._listen(connection)
        finally:
            self.listening.clear()
            self._leading.clear()

    async def _listen(self, connection: Connection) -> None:
        """Take the lock and dispatch messages until the probe does not arrive."""
        locked = await store.try_liveness_lock(connection, self._coordinator)
        for channel in (*NotifyChannel, self._probe):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        await self._on_connect()
        if self.heard_at is None:
            self.heard_at = self._clock()
        self.listening.set()
        # Tasks may have been submitted or paused, and schedules changed, while the session was
        # down. Their NOTIFY is lost.
        self._on_wake()
        self._on_schedule()
        self._on_pause()
        while await self._probe_arrives(connection):
            await self._receive_for(connection, self._probe_s if locked else _LOCK_RETRY_S)
            locked = locked or await store.try_liveness_lock(connection, self._coordinator)
        self._lost_probes += 1
        if self._lost_probes == 1:
            log.warning("listener received no probe; reconnecting")
            return
        if self._lost_probes == 2:
            log.error(
                "listener receives no NOTIFY: wake-ups and cancellations are late; if the database "
                "is behind a pooler in transaction mode, set TASKMASTER_DATABASE_DIRECT_URL to the "
                "server itself"
            )
        # A new session is unlikely to do better. Keep this one for another interval: it holds the
        # coordinator's lock.
        await self._receive_for(connection, self._probe_s)

    async def _probe_arrives(self, connection: Connection) -> bool:
        """Return whether a message from another session arrives.

        A message from the same session proves nothing: PostgreSQL delivers it even where a pooler
        drops the messages of other sessions.
        """
        while True:
            try:
                await self._notify(self._probe)
                break
            except OUTAGE_ERRORS:
                # The probe was not sent, so it proves nothing. Try again.
                await self._receive_for(connection, _RETRY_S[1])
        if not await self._receive_for(connection, _PROBE_TIMEOUT_S, until=self._probe):
            return False
        if self._lost_probes > 1:
            log.info("listener receives NOTIFY again")
        self._lost_probes = 0
        return True

    async def _receive_for(
        self, connection: Connection, seconds: float, *, until: str | None = None
    ) -> bool:
        """Dispatch messages for a number of seconds, or until one arrives on channel `until`.

        Return whether a message arrived on that channel. Also try to take the leader lock while
        this session does not hold it.
        """
        deadline, arrived = self._clock() + seconds, False
        # Stop the generator through `stop_after`. Leaving it with `break` would lose the messages
        # of the same packet.
        stop_after = None if until is None else 1
        while not arrived and (left_s := deadline - self._clock()) > 0:
            if not self._leading.is_set():
                left_s = min(left_s, _LEADER_RETRY_S)
                if await store.try_leader_lock(connection):
                    self._leading.set()
            async for message in connection.notifies(timeout=left_s, stop_after=stop_after):
                self.heard_at = self._clock()
                arrived = arrived or message.channel == until
                self._dispatch(message.channel, message.payload)
        return arrived

    def _dispatch(self, channel: str, payload: str) -> None:
        """Call the callback of a channel. A probe has none."""
        try:
            match channel:
                case NotifyChannel.WAKE:
                    self._on_wake()
                case NotifyChannel.CANCEL:
                    task_id, lease = map(int, payload.split())
                    self._on_cancel(Lease(task_id, lease))
                case NotifyChannel.WATCH:
                    self._on_watch()
                case NotifyChannel.OPERATION:
                    self._on_operation()
                case NotifyChannel.POOL:
                    self._on_pool()
                case NotifyChannel.SCHEDULE:
                    self._on_schedule()
                case NotifyChannel.PAUSE:
                    self._on_pause()
                case NotifyChannel.WORKER:
                    worker, command = payload.split()
                    if command not in COMMANDS:
                        raise ValueError(command)
                    self._on_command(UUID(worker), command)
        except ValueError:
            log.warning(
                "malformed notification ignored", extra={"channel": channel, "payload": payload}
            )
