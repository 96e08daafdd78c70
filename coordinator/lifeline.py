"""Who lives: workers by stream and heartbeat, coordinators by advisory lock; and what is done for
the tasks of those that do not.

A worker whose stream broke has a grace to come back, here or elsewhere, with what it runs; one
that missed its heartbeats has had it. A coordinator is dead when its lock is free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from coordinator import store as coordinators
from coordinator.database import Database
from coordinator.dispatcher import Dispatcher, Link
from coordinator.flusher import Flusher
from coordinator.held import Held
from tasks import store
from tasks.conf import Settings
from tasks.reports import Adopted, Lease
from workers import store as workers
from workers.store import Beat, Registration

log = logging.getLogger(__name__)

#: How often a coordinator says that it lives and looks who does not: half of the promised 2 s.
_ROUND_S = 1.0
#: Heartbeats that come within this time are written together.
_GATHER_S = 0.05


class Lifeline:
    """The watch of one coordinator over workers and other coordinators."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        flusher: Flusher,
        held: Held,
        conf: Settings,
        identity: coordinators.Identity,
        *,
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._flusher = flusher
        self._held = held
        self._conf = conf
        self._identity = identity
        self._on_pending = on_pending
        self._clock = clock
        self._beats: dict[UUID, tuple[Beat, list[Lease], asyncio.Future[set[int]]]] = {}
        self._beaten = asyncio.Event()
        #: Workers whose stream broke or whose heartbeats stopped: when to rescue what they ran.
        self._lost: dict[UUID, float] = {}
        #: Coordinators whose lock was found free: when to take over what they held.
        self._dead: dict[UUID, float] = {}
        #: Addresses of the live coordinators, this one among them.
        self.addresses: list[str] = [identity.address]

    def now(self) -> float:
        """Seconds of the clock by which silence is judged."""
        return self._clock()

    # ---- workers come and go ----------------------------------------------------------------

    async def welcome(
        self, registration: Registration, running: Sequence[Lease]
    ) -> list[tuple[Lease, Adopted]]:
        """Registers a worker and takes over what it still holds of `running`."""
        async with self._database.transaction() as connection:
            await workers.register(connection, registration, self._identity.id)
            adopted = await store.adopt(connection, running, self._identity.id) if running else []
        self._lost.pop(registration.id, None)
        by_id = {each.task_id: each for each in adopted}
        return [(lease, by_id[lease.task_id]) for lease in running if lease.task_id in by_id]

    def left(self, link: Link) -> None:
        """The stream of a worker ended: it has the grace to come back, unless it said good-bye."""
        if link.closed:
            return
        grace_s = self._conf.reconnect_grace_s if link.flights or not link.draining else 0.0
        self._dispatcher.disconnect(link)
        self._lost[link.worker_id] = self._clock() + grace_s
        log.info("worker left", extra={"worker": link.name})

    async def beat(self, beat: Beat, running: list[Lease]) -> list[Lease]:
        """Keeps a heartbeat; returns those of `running` that are the worker's no more."""
        link = self._dispatcher.links.get(beat.id)
        if link is not None:
            link.last_seen, link.slots, link.draining = self._clock(), beat.slots, beat.draining
        before = self._beats.get(beat.id)
        receipt: asyncio.Future[set[int]] = (
            before[2] if before else asyncio.get_running_loop().create_future()
        )
        self._beats[beat.id] = beat, running, receipt
        self._beaten.set()
        live = await asyncio.shield(receipt)
        return [lease for lease in running if lease.task_id not in live]

    # ---- loops ------------------------------------------------------------------------------

    async def run_heartbeats(self) -> None:
        """Writes the workers' heartbeats in batches, until cancelled."""
        while True:
            await self._beaten.wait()
            await asyncio.sleep(_GATHER_S)
            self._beaten.clear()
            gathered, self._beats = list(self._beats.values()), {}
            leases = [lease for _, running, _ in gathered for lease in running]
            try:
                async with self._database.transaction() as connection:
                    beats = [beat for beat, _, _ in gathered]
                    await workers.heartbeat(connection, beats, self._identity.id)
                    live = await store.live(connection, leases) if leases else set()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("heartbeats not written", extra={"error": str(error).strip()})
                # Nothing is known to be stale.
                live = {lease.task_id for lease in leases}
            for _, _, receipt in gathered:
                if not receipt.done():
                    receipt.set_result(live)

    async def run(self) -> None:
        """Looks after the living and the dead once a second, until cancelled."""
        while True:
            try:
                await self._round()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("round failed, tried again", extra={"error": str(error).strip()})
            await asyncio.sleep(_ROUND_S)

    async def _round(self) -> None:
        await self._say_alive()
        self._drop_silent()
        await self._rescue_lost()

    async def _say_alive(self) -> None:
        async with self._database.connection() as connection:
            peers = await coordinators.heartbeat(
                connection,
                self._identity.id,
                held=len(self._held),
                in_flight=self._dispatcher.in_flight,
            )
        others = [peer for peer in peers if peer.id != self._identity.id]
        self._dead = {peer.id: self._dead[peer.id] for peer in others if peer.id in self._dead}
        for peer in others:
            await self._look_after(peer)
        alive = [peer.address for peer in others if peer.id not in self._dead]
        self.addresses = [self._identity.address, *alive]

    async def _look_after(self, peer: coordinators.Peer) -> None:
        """Takes over from a coordinator that has been dead for the grace of its workers."""
        async with self._database.transaction() as connection:
            if not await coordinators.is_dead(connection, peer):
                self._dead.pop(peer.id, None)
                return
            since = self._dead.setdefault(peer.id, self._clock())
            if self._clock() - since < self._conf.reconnect_grace_s:
                return
            rescued = await store.rescue(connection, peer.id)
            await workers.orphaned(connection, peer.id)
            await store.stay_awake(connection, peer.id)
            await coordinators.offline(connection, peer.id)
        log.warning(
            "dead coordinator buried", extra={"coordinator": peer.address, "tasks": len(rescued)}
        )
        self._on_pending()

    def _drop_silent(self) -> None:
        """Takes workers out of the pool that missed too many heartbeats."""
        limit = self._conf.heartbeat_interval_s * self._conf.heartbeat_misses
        for link in list(self._dispatcher.links.values()):
            if self._clock() - link.last_seen <= limit:
                continue
            log.warning("worker is silent", extra={"worker": link.name, "seconds": round(limit)})
            self._dispatcher.disconnect(link)
            self._lost[link.worker_id] = self._clock()

    async def _rescue_lost(self) -> None:
        now = self._clock()
        over = [worker for worker, at in self._lost.items() if at <= now]
        if not over:
            return
        # A start that is still to be written would be missed.
        await self._flusher.drained()
        for worker in over:
            async with self._database.transaction() as connection:
                rescued = await store.rescue(connection, self._identity.id, worker)
                await workers.leave(connection, [worker], self._identity.id)
            self._lost.pop(worker, None)
            if rescued:
                log.warning(
                    "lost worker's tasks rescued",
                    extra={"worker": worker, "tasks": len(rescued)},
                )
                self._on_pending()
