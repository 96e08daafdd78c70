"""Write the heartbeats of workers in batches, and answer each with the worker's stale leases."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple
from uuid import UUID

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.messages import Lease
from taskmaster.tasks.store import async_store as store
from taskmaster.workers.store import async_store as worker_store
from taskmaster.workers.store.async_store import WorkerHeartbeat

log = logging.getLogger(__name__)

#: Seconds for which heartbeats are gathered before they are written together.
_GATHER_S = 0.05


class WrittenHeartbeats(NamedTuple):
    """Hold the result of writing a batch of heartbeats."""

    #: Whether the batch was written.
    durable: bool
    #: The subset of all listed leases that is live. All of them if the database was not available.
    live: set[Lease]
    #: Ids of the workers that must drain.
    draining: set[UUID]
    #: Ids of the workers whose rows belong to this coordinator and are not offline.
    registered: set[UUID]


class HeartbeatAnswer(NamedTuple):
    """Hold the answer to a worker's heartbeat."""

    durable: bool
    stale: list[Lease]
    drain: bool
    #: Whether the worker's row is offline, gone, or belongs to another coordinator.
    unknown: bool


class WaitingHeartbeat(NamedTuple):
    """Hold a heartbeat that waits to be written, and the future of its batch's result."""

    heartbeat: WorkerHeartbeat
    #: The leases that the worker lists as its own.
    running: set[Lease]
    written: asyncio.Future[WrittenHeartbeats]


class HeartbeatWriter:
    """Gather and write the heartbeats of one coordinator's workers."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        flusher: Flusher,
        identity: Identity,
        publisher: EventPublisher,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._flusher = flusher
        self._identity = identity
        self._publisher = publisher
        self._clock = clock
        #: The newest heartbeat of each worker that waits to be written.
        self._waiting: dict[UUID, WaitingHeartbeat] = {}
        self._arrived = asyncio.Event()

    async def write(self, heartbeat: WorkerHeartbeat, running: list[Lease]) -> HeartbeatAnswer:
        """Queue a heartbeat for the next batch and wait until the batch is written.

        The answer lists the leases in `running` that are stale. If the batch could not be written,
        `durable` is False and no lease is listed. If the worker is unknown, nothing was written.
        """
        worker = self._dispatcher.workers.get(heartbeat.id)
        if worker is not None:
            self._update(worker, heartbeat)
            self._report_lost(worker, running)
        before = self._waiting.get(heartbeat.id)
        written: asyncio.Future[WrittenHeartbeats] = (
            before.written if before else asyncio.get_running_loop().create_future()
        )
        listed = set(running)
        if before:
            # Both calls wait for the same result, so it must cover the leases that either lists.
            listed |= before.running
        self._waiting[heartbeat.id] = WaitingHeartbeat(heartbeat, listed, written)
        self._arrived.set()
        result = await asyncio.shield(written)
        stale = [lease for lease in running if lease not in result.live]
        return HeartbeatAnswer(
            result.durable,
            stale,
            drain=heartbeat.id in result.draining,
            unknown=heartbeat.id not in result.registered,
        )

    def _update(self, worker: WorkerConnection, heartbeat: WorkerHeartbeat) -> None:
        """Update a connected worker from its heartbeat, and publish that it drains."""
        if heartbeat.draining and not worker.reports_draining:
            text = f"{worker.name} is draining"
            self._publisher.add(
                NewEvent(EventKind.DRAINING, text, worker=worker.name, worker_id=worker.id)
            )
        worker.last_seen, worker.slots = self._clock(), heartbeat.slots
        worker.draining = worker.reports_draining = heartbeat.draining

    def _report_lost(self, worker: WorkerConnection, running: Iterable[Lease]) -> None:
        """Report accepted executions as lost that two consecutive heartbeats did not list."""
        listed = set(running)
        unlisted = {lease for lease in worker.leases(accepted=True) if lease not in listed}
        lost = unlisted & worker.unlisted
        worker.unlisted = unlisted - lost
        if not lost:
            return
        log.error(
            "worker does not list tasks that it accepted",
            extra={"worker": worker.name, "tasks": len(lost)},
        )
        attempts = [(lease, worker.in_flight[lease.task_id].attempt) for lease in lost]
        self._dispatcher.record_ended(worker, list(lost), None)
        self._flusher.record_lost(attempts, worker.name, worker.id)

    async def run(self) -> None:
        """Write the gathered heartbeats until cancelled."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_GATHER_S)
            self._arrived.clear()
            gathered, self._waiting = list(self._waiting.values()), {}
            try:
                written = await self._write_batch(gathered)
            except OUTAGE_ERRORS:
                # Without the database no lease is known to be stale, no worker to be unknown, and
                # each worker keeps its draining state.
                leases = {lease for each in gathered for lease in each.running}
                draining = {each.heartbeat.id for each in gathered if each.heartbeat.draining}
                workers = {each.heartbeat.id for each in gathered}
                written = WrittenHeartbeats(False, leases, draining, workers)
            for each in gathered:
                worker = self._dispatcher.workers.get(each.heartbeat.id)
                if worker is not None:
                    worker.missed_heartbeats = 0
                if not each.written.done():
                    each.written.set_result(written)

    async def _write_batch(self, gathered: list[WaitingHeartbeat]) -> WrittenHeartbeats:
        leases = {lease for each in gathered for lease in each.running}
        async with self._database.transaction() as connection:
            requests = await worker_store.write_worker_heartbeats(
                connection, [each.heartbeat for each in gathered], self._identity.id
            )
            live = await store.filter_live_leases(connection, list(leases)) if leases else set()
        # Repeat a command with every heartbeat until the worker has gone, so that it survives a
        # lost message or a coordinator's death.
        for worker_id, command in requests.commands.items():
            self._dispatcher.send_command(worker_id, command)
        return WrittenHeartbeats(True, live, requests.draining, requests.registered)
