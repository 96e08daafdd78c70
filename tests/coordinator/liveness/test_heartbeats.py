"""Test that heartbeats are written in batches and answered with the worker's stale leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.liveness.heartbeats import HeartbeatWriter
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import Lease
from taskmaster.tasks.models import Task
from taskmaster.workers.models import Worker
from taskmaster.workers.store.async_store import WorkerHeartbeat
from tests.coordinator.sample import Clock, claim, connected, lease, sign, token_of
from tests.factories import in_s
from tests.waiting import until_counted

pytestmark = pytest.mark.django_db(transaction=True)


class Parts:
    """A heartbeat writer with a real database, dispatcher and flusher, and a manual clock."""

    def __init__(self) -> None:
        conf, self.clock = Settings(), Clock()
        self.identity = Identity(uuid4(), "127.0.0.1:1", "here", 1)
        self.database = Database(conninfo(), conf)
        publisher = EventPublisher(self.database)
        self.flusher = Flusher(
            self.database, conf, self.identity.id, publisher, on_pending=lambda: None
        )
        self.dispatcher = Dispatcher(
            conf, on_capacity_freed=lambda: None, on_release=self.flusher.release, sign=sign
        )
        self.writer = HeartbeatWriter(
            self.database,
            self.dispatcher,
            self.flusher,
            self.identity,
            publisher,
            clock=self.clock,
        )

    async def worker(self) -> WorkerConnection:
        """Connect a worker that has a row."""
        worker = connected(self.dispatcher)
        await Worker.objects.acreate(
            id=worker.id, name="heron", host="h", pid=1, slots=2, coordinator=self.identity.id
        )
        return worker


@asynccontextmanager
async def writing() -> AsyncIterator[Parts]:
    parts = Parts()
    await parts.database.open()
    running = [asyncio.create_task(each.run()) for each in (parts.writer, parts.flusher)]
    try:
        yield parts
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await parts.database.close()


def heartbeat(worker: UUID, *, draining: bool = False) -> WorkerHeartbeat:
    return WorkerHeartbeat(
        id=worker, slots=3, busy=1, rss_bytes=10, cpu=0.5, tasks_done=4, tasks_failed=1,
        loop_lag_ms=2, draining=draining,
    )  # fmt: skip


async def test_a_heartbeat_is_durable_when_it_is_answered() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        worker.missed_heartbeats = 2
        answer = await parts.writer.write(heartbeat(worker.id), [])
        assert answer == (True, [], False, False)
        row = await Worker.objects.aget(pk=worker.id)
        assert (row.slots, row.busy, row.tasks_done) == (3, 1, 4)
        assert (worker.slots, worker.last_seen, worker.missed_heartbeats) == (3, 1_000.0, 0)


@pytest.mark.parametrize(
    ("requests", "end"),
    [
        ({}, "stopped"),
        ({"drain": True}, "drained"),
        ({"drain": True, "command": "stop"}, "stopped"),
    ],
)
async def test_the_last_heartbeat_records_the_figures_and_how_the_worker_ends(
    requests: dict[str, object], end: str
) -> None:
    async with writing() as parts:
        worker = await parts.worker()
        await Worker.objects.filter(pk=worker.id).aupdate(**requests)
        await parts.writer.write(heartbeat(worker.id)._replace(leaving=True), [])
        row = await Worker.objects.aget(pk=worker.id)
        assert (row.tasks_done, row.tasks_failed, row.ended) == (4, 1, end)
        # It has not left after all.
        await parts.writer.write(heartbeat(worker.id), [])
        assert (await Worker.objects.aget(pk=worker.id)).ended == ""


@pytest.mark.parametrize("change", [{"status": "offline"}, {"coordinator": UUID(int=1)}])
async def test_a_late_heartbeat_does_not_bring_back_a_worker_that_left(
    change: dict[str, object],
) -> None:
    async with writing() as parts:
        worker = await parts.worker()
        await Worker.objects.filter(pk=worker.id).aupdate(**change)
        before = await Worker.objects.values().aget(pk=worker.id)
        answer = await parts.writer.write(heartbeat(worker.id, draining=True), [])
        assert answer == (True, [], False, True)
        assert await Worker.objects.values().aget(pk=worker.id) == before


async def test_leases_that_are_not_live_are_stale() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        [task] = await claim(parts.database, parts.identity.id)
        await Task.objects.filter(pk=task.task_id).aupdate(
            status="started", attempt=1, started_at=in_s(0), worker="heron", worker_id=worker.id
        )
        old = Lease(task.task_id, task.lease - 1)
        answer = await parts.writer.write(heartbeat(worker.id), [lease(task), old, Lease(10**9, 1)])
        assert answer.stale == [old, Lease(10**9, 1)]


async def test_two_heartbeats_in_one_batch_each_get_their_own_stale_leases() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        first, second = await asyncio.gather(
            parts.writer.write(heartbeat(worker.id), [Lease(10**9, 1)]),
            parts.writer.write(heartbeat(worker.id), [Lease(10**9, 2)]),
        )
        assert (first.stale, second.stale) == ([Lease(10**9, 1)], [Lease(10**9, 2)])


async def test_without_the_database_the_answer_is_not_durable_and_lists_no_lease() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        await parts.database.close()
        answer = await parts.writer.write(heartbeat(worker.id, draining=True), [Lease(1, 1)])
        assert answer == (False, [], True, False)


async def test_a_draining_worker_gets_no_offers() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        await parts.writer.write(heartbeat(worker.id, draining=True), [])
        assert worker.capacity(10) == 0
        await parts.writer.write(heartbeat(worker.id), [])
        assert worker.capacity(0) == 3


async def test_an_operator_s_command_is_sent_with_every_heartbeat() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        await Worker.objects.filter(pk=worker.id).aupdate(command="stop")
        for _ in range(2):
            await parts.writer.write(heartbeat(worker.id), [])
        assert [each.WhichOneof("message") for each in worker.commands] == ["stop", "stop"]


async def test_a_task_that_two_heartbeats_do_not_list_is_lost() -> None:
    async with writing() as parts:
        worker = await parts.worker()
        [task] = await claim(parts.database, parts.identity.id, max_attempts=2)
        assert parts.dispatcher.offer([task]) == []
        parts.dispatcher.record_accepted(worker, [lease(task)])
        await Task.objects.filter(pk=task.task_id).aupdate(
            status="started", attempt=1, started_at=in_s(0), worker="w", worker_id=worker.id
        )
        await parts.writer.write(heartbeat(worker.id), [])
        assert worker.has(lease(task), 1, token_of(worker, lease(task)))
        await parts.writer.write(heartbeat(worker.id), [])
        assert not worker.has(lease(task), 1, token_of(worker, lease(task)))
        await until_counted(1, pk=task.task_id, status="pending", attempt=1)
        row = await sync_to_async(Task.objects.get)(pk=task.task_id)
        assert row.errors[0]["class"] == "lost"
