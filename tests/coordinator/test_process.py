"""Test that a whole coordinator starts its parts in order, and leaves the database in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.models import Coordinator
from taskmaster.coordinator.process import Process
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import IdleCoordinator, QueueState, Task
from tests.coordinator.pruning.sample import aended
from tests.factories import in_s, stored
from tests.system.fleet import WireWorker, acount, free_port, serving
from tests.waiting import until_counted

pytestmark = pytest.mark.django_db(transaction=True)

store = sync_to_async(stored)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Process, str]]:
    """Run a coordinator in this process. Stop it with a signal."""
    port = free_port()
    process = Process(Settings(), "127.0.0.1", port)
    task = asyncio.create_task(process.run())
    try:
        await serving(f"127.0.0.1:{port}")
        yield process, f"127.0.0.1:{port}"
    finally:
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await task


async def test_a_task_passes_all_parts_and_its_report_comes_back() -> None:
    async with running() as (process, address):
        async with WireWorker(address).running():
            await store(5)
            await until_counted(5, status="complete")
            assert len(process.dispatching.dispatcher.workers) == 1
        row = await Coordinator.objects.aget(pk=process.identity.id)
        assert (row.online, row.address) == (True, address)
        # A busy machine may delay the loop of this process, too.
        assert not row.health_problem or row.health_problem.startswith("the event loop was")


async def test_a_leading_coordinator_logs_the_retention_and_deletes_old_tasks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await aended("complete", 8)
    with caplog.at_level(logging.INFO):
        async with running():
            await until_counted(0)
    [line] = [each for each in caplog.records if each.getMessage() == "retention"]
    shown = {name: getattr(line, name) for name in ("complete", "failed", "cancelled", "workers")}
    assert shown == {
        "complete": "7 days",
        "failed": "30 days",
        "cancelled": "30 days",
        "workers": "1 day",
    }


async def test_a_stopped_coordinator_leaves_nothing_behind() -> None:
    async with running() as (process, address), WireWorker(address).running():
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
    assert await acount(pk=held, status="pending", coordinator=None, attempt=0) == 1
    row = await Coordinator.objects.aget(pk=process.identity.id)
    assert (row.online, row.held, row.in_flight) == (False, 0, 0)
    assert not await IdleCoordinator.objects.aexists()
    assert not await QueueState.objects.aexists()


async def test_with_a_running_task_the_row_stays_online_so_that_a_peer_takes_over() -> None:
    async with running() as (process, address):
        worker = WireWorker(address)
        worker.holding = True
        async with worker.running():
            [task_id] = await store()
            await until_counted(1, pk=task_id, status="started")
            signal.raise_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                while process.dispatching.dispatcher.workers:
                    await asyncio.sleep(0.02)
    assert (await Coordinator.objects.aget(pk=process.identity.id)).online
    assert (await Task.objects.aget(pk=task_id)).status == "started"


async def test_an_unreachable_database_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = "host=127.0.0.1 port=1 connect_timeout=2"
    monkeypatch.setattr("taskmaster.coordinator.process.conninfo", lambda: unreachable)
    with pytest.raises(psycopg.OperationalError):
        await Process(Settings(), "127.0.0.1", free_port()).run()
