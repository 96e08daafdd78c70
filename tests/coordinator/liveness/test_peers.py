"""Test that a live coordinator takes over the tasks of a dead one, step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

from taskmaster.coordinator import store
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.liveness.peers import Peers
from taskmaster.coordinator.models import Coordinator
from taskmaster.coordinator.store import CoordinatorHeartbeat, Identity
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import Event, IdleCoordinator, Task
from taskmaster.workers.models import Worker
from tests.coordinator.sample import Clock, claim
from tests.factories import in_s
from tests.system.fleet import acount

pytestmark = pytest.mark.django_db(transaction=True)

CONF = Settings()


class Watcher:
    """A coordinator that watches the others, with a manual clock and a real database."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pending_calls = 0
        self.identity = Identity(uuid4(), "127.0.0.1:1", "here", 1)
        self.database = Database(conninfo(), CONF)
        self.publisher = EventPublisher(self.database)
        self.peers = Peers(
            self.database,
            CONF,
            self.identity,
            self.publisher,
            heartbeat=lambda: CoordinatorHeartbeat(1, 2, 3, 4, None, 0.5, 0.1, ""),
            on_pending=self._count_pending_call,
            clock=self.clock,
        )

    def _count_pending_call(self) -> None:
        self.pending_calls += 1

    async def iterate(self, after_s: float = 0.4) -> None:
        """Run the next iteration of the watcher, `after_s` seconds after the previous one."""
        self.clock.now += after_s
        await self.peers._iterate()

    async def iterate_for(self, seconds: float) -> None:
        """Run iterations until this time has passed."""
        for _ in range(round(seconds)):
            await self.iterate(1.0)


@asynccontextmanager
async def watching() -> AsyncIterator[Watcher]:
    watcher = Watcher()
    await watcher.database.open()
    try:
        async with watcher.database.connection() as connection:
            await store.register_coordinator(connection, watcher.identity)
        yield watcher
    finally:
        await watcher.database.close()


async def a_peer(*, silent_s: float, address: str = "127.0.0.1:2") -> UUID:
    """Store a coordinator whose last heartbeat was `silent_s` seconds ago. Its lock is free."""
    coordinator = uuid4()
    await Coordinator.objects.acreate(
        id=coordinator,
        lock_key=store.lock_key(coordinator),
        address=address,
        host="there",
        pid=2,
        last_seen_at=datetime.now(UTC) - timedelta(seconds=silent_s),
    )
    return coordinator


async def status_of(task_id: int) -> str:
    return (await Task.objects.aget(pk=task_id)).status


async def test_a_heartbeat_is_written_and_live_coordinators_are_listed() -> None:
    async with watching() as watcher:
        await a_peer(silent_s=0.1, address="127.0.0.1:2")
        await a_peer(silent_s=60, address="127.0.0.1:3")
        await watcher.iterate()
        row = await Coordinator.objects.aget(pk=watcher.identity.id)
        assert (row.held, row.in_flight, row.connections, row.loop_lag_ms) == (1, 2, 3, 4)
        assert row.heard_at is None
        assert row.claimed_at is not None
        assert watcher.peers.addresses == ["127.0.0.1:1", "127.0.0.1:2"]


async def test_the_tasks_of_a_dead_coordinator_are_taken_over_in_steps() -> None:
    async with watching() as watcher:
        # Workers of other coordinators have had time to reconnect.
        await watcher.iterate_for(2 * CONF.reconnect_max_s)
        peer = await a_peer(silent_s=5)
        await IdleCoordinator.objects.acreate(coordinator=peer)
        worker = await Worker.objects.acreate(
            id=uuid4(), name="heron", host="h", pid=1, slots=1, coordinator=peer
        )
        [held] = await claim(watcher.database, peer, scheduled_at=in_s(25))
        [offered] = await claim(watcher.database, peer)
        [running] = await claim(watcher.database, peer, max_attempts=2)
        await Task.objects.filter(pk=running.task_id).aupdate(
            status="started", attempt=1, started_at=in_s(0), worker="heron", worker_id=worker.id
        )

        await watcher.iterate()
        assert await acount(status="pending") == 0
        assert watcher.peers.addresses == ["127.0.0.1:1"]
        await watcher.iterate()
        assert await status_of(held.task_id) == "pending"
        assert await status_of(offered.task_id) == "picked"
        await watcher.iterate(0.5)
        assert await status_of(offered.task_id) == "pending"
        assert await status_of(running.task_id) == "started"
        await watcher.iterate(1.5)
        rescued = await Task.objects.aget(pk=running.task_id)
        assert (rescued.status, rescued.attempt) == ("pending", 1)
        assert watcher.pending_calls == 3

        assert not (await Coordinator.objects.aget(pk=peer)).online
        assert (await Worker.objects.aget(pk=worker.pk)).status == "offline"
        assert not await IdleCoordinator.objects.aexists()
        await watcher.publisher.publish()
        texts = [row.text async for row in Event.objects.filter(kind="offline")]
        assert texts[-1] == "a coordinator died, 1 task taken over"


async def test_a_silent_coordinator_that_holds_its_lock_is_alive() -> None:
    async with (
        watching() as watcher,
        await AsyncConnection.connect(conninfo(), autocommit=True) as session,
    ):
        peer = await a_peer(silent_s=5)
        assert await store.try_liveness_lock(session, peer)
        [held] = await claim(watcher.database, peer, scheduled_at=in_s(25))
        await watcher.iterate_for(3)
        assert await status_of(held.task_id) == "picked"
        assert watcher.peers.addresses == ["127.0.0.1:1", "127.0.0.1:2"]


async def test_a_coordinator_that_is_silent_for_too_long_is_dead_even_with_its_lock() -> None:
    async with (
        watching() as watcher,
        await AsyncConnection.connect(conninfo(), autocommit=True) as session,
    ):
        peer = await a_peer(silent_s=CONF.silence_s + 5)
        assert await store.try_liveness_lock(session, peer)
        [held] = await claim(watcher.database, peer, scheduled_at=in_s(25))
        await watcher.iterate()
        await watcher.iterate()
        assert await status_of(held.task_id) == "pending"


async def test_after_a_database_error_no_coordinator_is_declared_dead() -> None:
    async with watching() as watcher:
        peer = await a_peer(silent_s=5)
        [held] = await claim(watcher.database, peer, scheduled_at=in_s(25))
        watcher.database.outage.record_error(RuntimeError("the server closed the connection"))
        await watcher.iterate_for(3)
        assert await status_of(held.task_id) == "picked"


async def test_a_stalled_watcher_starts_to_observe_again() -> None:
    async with watching() as watcher:
        peer = await a_peer(silent_s=5)
        [held] = await claim(watcher.database, peer, scheduled_at=in_s(25))
        await watcher.iterate()
        await watcher.iterate(10.0)
        assert await status_of(held.task_id) == "picked"
        await watcher.iterate()
        assert await status_of(held.task_id) == "pending"


async def test_orphans_of_a_coordinator_that_is_offline_are_rescued() -> None:
    async with watching() as watcher:
        await watcher.iterate_for(2 * CONF.reconnect_max_s)
        gone = uuid4()
        [running] = await claim(watcher.database, gone, max_attempts=2)
        await Task.objects.filter(pk=running.task_id).aupdate(
            status="started", attempt=1, started_at=in_s(0), worker="heron", worker_id=uuid4()
        )
        # Orphans are listed every 5 s, and rescued after the grace.
        await watcher.iterate_for(5 + CONF.reconnect_grace_s + 1)
        assert await status_of(running.task_id) == "pending"
