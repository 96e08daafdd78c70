"""Test when a worker counts as lost, and that its tasks are rescued."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg_pool import PoolTimeout

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.liveness.workers import WorkerLiveness
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import ClaimedTask, Lease
from taskmaster.tasks.models import Event, Task
from taskmaster.workers.models import Worker
from taskmaster.workers.store.async_store import Registration
from tests.coordinator.sample import Clock, claim, lease, sign
from tests.factories import in_s
from tests.system.fleet import acount

pytestmark = pytest.mark.django_db(transaction=True)

CONF = Settings()
IDENTITY = Identity(uuid4(), "127.0.0.1:1", "here", 1)


class Parts:
    """The liveness of workers with a real database and a manual clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pending_calls = 0
        self.database = Database(conninfo(), CONF)
        self.publisher = EventPublisher(self.database)
        self.flusher = Flusher(
            self.database, CONF, IDENTITY.id, self.publisher, on_pending=lambda: None
        )
        self.dispatcher = Dispatcher(
            CONF,
            on_capacity_freed=lambda: None,
            on_release=self.flusher.release,
            sign=sign,
            clock=self.clock,
        )
        self.liveness = WorkerLiveness(
            self.database,
            self.dispatcher,
            self.flusher,
            CONF,
            IDENTITY,
            self.publisher,
            on_pending=self._count_pending_call,
            clock=self.clock,
        )

    def _count_pending_call(self) -> None:
        self.pending_calls += 1

    async def join(
        self, worker_id: UUID | None = None, running: tuple[Lease, ...] = (), slots: int = 2
    ) -> WorkerConnection:
        """Register and connect a worker."""
        registration = Registration(
            id=worker_id or uuid4(), name="heron", host="h", pid=1, executor="process",
            pool="", queues=[], slots=slots,
        )  # fmt: skip
        adopted = await self.liveness.register(registration, running)
        worker = WorkerConnection(
            registration.id, "heron", None, slots, last_seen=self.liveness.now()
        )
        tokens = {each: sign(worker.id, *each) for each, _ in adopted}
        self.dispatcher.connect(worker, adopted, tokens)
        return worker

    async def run_task(self, worker: WorkerConnection, **fields: object) -> ClaimedTask:
        """Let the worker start a task."""
        [task] = await claim(self.database, IDENTITY.id, max_attempts=2, **fields)
        assert self.dispatcher.offer([task]) == []
        self.dispatcher.record_accepted(worker, [lease(task)])
        await Task.objects.filter(pk=task.task_id).aupdate(
            status="started", attempt=1, started_at=in_s(0), worker="heron", worker_id=worker.id
        )
        return task

    async def iterate_for(self, seconds: float) -> None:
        """Run iterations, one every half second, until this time has passed."""
        for _ in range(round(seconds * 2)):
            self.clock.now += 0.5
            await self.liveness._iterate()


@asynccontextmanager
async def living() -> AsyncIterator[Parts]:
    parts = Parts()
    await parts.database.open()
    flushing = asyncio.create_task(parts.flusher.run())
    try:
        yield parts
    finally:
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing
        await parts.database.close()


async def test_a_worker_that_reconnects_within_the_grace_keeps_its_tasks() -> None:
    async with living() as parts:
        worker = await parts.join()
        task = await parts.run_task(worker)
        parts.liveness.start_grace(worker)
        await parts.iterate_for(1.0)
        again = await parts.join(worker.id, (lease(task),))
        await parts.iterate_for(5.0)
        assert await acount(pk=task.task_id, status="started") == 1
        assert again.leases(accepted=True) == [lease(task)]


async def test_after_the_grace_the_tasks_of_a_lost_worker_are_pending_again() -> None:
    async with living() as parts:
        worker = await parts.join()
        task = await parts.run_task(worker)
        parts.liveness.start_grace(worker)
        await parts.iterate_for(CONF.reconnect_grace_s)
        row = await Task.objects.aget(pk=task.task_id)
        assert (row.status, row.attempt, row.errors[0]["class"]) == ("pending", 1, "lost")
        assert row.started_at is not None
        assert datetime.fromisoformat(row.errors[0]["started"]) == row.started_at
        assert row.errors[0]["due"] <= row.errors[0]["started"] <= row.errors[0]["at"]
        assert (await Worker.objects.aget(pk=worker.id)).status == "offline"
        assert parts.pending_calls == 1
        await parts.publisher.publish()
        texts = [event.text async for event in Event.objects.filter(kind="offline")]
        assert texts == ["heron was lost, 1 task rescued"]


async def test_a_task_that_must_stop_first_is_rescued_after_the_silence() -> None:
    async with living() as parts:
        worker = await parts.join()
        task = await parts.run_task(worker, on_lost_contact="stop")
        parts.liveness.start_grace(worker)
        await parts.iterate_for(CONF.reconnect_grace_s + 1)
        assert await acount(pk=task.task_id, status="started") == 1
        await parts.iterate_for(CONF.silence_s)
        assert await acount(pk=task.task_id, status="pending") == 1


async def test_a_draining_worker_without_tasks_gets_no_grace() -> None:
    async with living() as parts:
        worker = await parts.join()
        worker.draining = True
        parts.liveness.start_grace(worker)
        await parts.iterate_for(0.5)
        assert (await Worker.objects.aget(pk=worker.id)).status == "offline"


async def test_the_event_of_a_worker_counts_its_slots() -> None:
    async with living() as parts:
        await parts.join()
        await parts.join(slots=1)
        await parts.publisher.publish()
        texts = [each.text async for each in Event.objects.filter(kind="online").order_by("pk")]
        assert texts == ["heron joined with 2 slots", "heron joined with 1 slot"]


async def end_of(parts: Parts, worker: WorkerConnection, **row: object) -> tuple[str, str]:
    """Let a worker leave. Return how it ended by its row, and by its event."""
    await Worker.objects.filter(pk=worker.id).aupdate(**row)
    parts.liveness.start_grace(worker)
    await parts.iterate_for(CONF.reconnect_grace_s)
    await parts.publisher.publish()
    event = await Event.objects.filter(kind="offline", worker_id=worker.id).aget()
    return (await Worker.objects.aget(pk=worker.id)).ended, event.text


async def test_a_worker_that_ended_shows_how_as_far_as_is_known() -> None:
    async with living() as parts:
        for row, end in (
            ({"ended": "drained"}, ("drained", "heron was drained and left")),
            ({"ended": "stopped"}, ("stopped", "heron stopped")),
            ({"command": "kill"}, ("killed", "heron was killed by an operator")),
            ({"command": "stop"}, ("lost", "heron was lost")),
            ({}, ("lost", "heron was lost")),
        ):
            assert await end_of(parts, await parts.join(), **row) == end


async def test_a_worker_that_another_coordinator_has_registered_has_not_ended() -> None:
    async with living() as parts:
        worker = await parts.join()
        await Worker.objects.filter(pk=worker.id).aupdate(coordinator=uuid4())
        parts.liveness.start_grace(worker)
        await parts.iterate_for(CONF.reconnect_grace_s)
        await parts.publisher.publish()
        assert not await Event.objects.filter(kind="offline").aexists()
        assert (await Worker.objects.aget(pk=worker.id)).status == "online"


async def test_missed_heartbeats_are_written_and_too_many_end_the_connection() -> None:
    async with living() as parts:
        worker = await parts.join()
        await parts.iterate_for(CONF.heartbeat_interval_s + 2)
        assert (await Worker.objects.aget(pk=worker.id)).heartbeat_misses == 1
        assert not worker.closed
        await parts.iterate_for(CONF.silence_s)
        assert worker.closed
        assert parts.dispatcher.workers == {}
        assert (await Worker.objects.aget(pk=worker.id)).status == "offline"


async def test_an_expelled_worker_loses_its_tasks_without_a_grace() -> None:
    async with living() as parts:
        worker = await parts.join()
        task = await parts.run_task(worker)
        parts.liveness.expel(worker)
        assert worker.expelled
        await parts.iterate_for(0.5)
        assert await acount(pk=task.task_id, status="pending") == 1


async def test_a_stall_of_this_process_extends_the_deadlines_of_its_workers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with living() as parts:
        worker = await parts.join()
        parts.clock.now += CONF.silence_s + 10
        await parts.liveness._iterate()
        assert not worker.closed
        assert caplog.messages == ["this process was stalled"]


class UnavailableDatabase:
    """A database whose connection pool times out after three seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def connection(self) -> Any:
        self._clock.now += 3
        raise PoolTimeout("no connection after 3 s")


async def test_a_wait_for_the_database_is_not_a_stall(caplog: pytest.LogCaptureFixture) -> None:
    async with living() as parts:
        worker = await parts.join()
        seen = worker.last_seen = parts.clock.now - 7
        parts.liveness._database = UnavailableDatabase(parts.clock)  # type: ignore[assignment]
        with pytest.raises(PoolTimeout):
            await parts.liveness._iterate()
        parts.clock.now += 0.5
        parts.liveness._allow_for_stall()
        assert worker.last_seen == seen
        assert "this process was stalled" not in caplog.messages
