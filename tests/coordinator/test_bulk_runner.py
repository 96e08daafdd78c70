"""Test that a coordinator runs the chunks of confirmed bulk operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from taskmaster.coordinator import bulk_runner as module
from taskmaster.coordinator.bulk_runner import BulkRunner
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.bulk import runner as chunks
from taskmaster.tasks.bulk.runner import ChunkResult
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import Event, Operation
from tests.factories import stored
from tests.system.fleet import acount
from tests.tasks.bulk.sample import a_back_fill, an_operation, assert_each_due_time_has_run_once
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)

create, store = sync_to_async(an_operation), sync_to_async(stored)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[BulkRunner, EventPublisher]]:
    """Run a bulk runner whose safety poll is far away."""
    conf = Settings(poll_interval_s=30.0)
    database = Database(conninfo(), conf)
    await database.open()
    publisher = EventPublisher(database)
    with ThreadPoolExecutor(1) as threads:
        runner = BulkRunner(database, conf, publisher, threads)
        task = asyncio.create_task(runner.run())
        try:
            yield runner, publisher
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await database.close()


async def test_a_woken_runner_runs_an_operation_to_its_end_and_publishes_it() -> None:
    ids = await store(3)
    async with running() as (runner, publisher):
        operation = await create("cancel", ids=ids)
        runner.wake()
        await until_counted(3, status="cancelled")
        async with asyncio.timeout(10):
            while (await Operation.objects.aget(pk=operation.pk)).state != "complete":
                await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            while not await Event.objects.filter(task_id__in=ids).aexists():
                await publisher.publish()
                await asyncio.sleep(0.02)
        events = [row.kind async for row in Event.objects.filter(task_id__in=ids)]
        assert events == ["cancelled"] * 3


async def test_an_operation_that_another_session_has_locked_is_left_alone() -> None:
    ids = await store(2)
    operation = await create("cancel", ids=ids)
    async with await psycopg.AsyncConnection.connect(conninfo()) as other:
        await other.execute(
            "SELECT FROM taskmaster_tasks_operation WHERE id = %s FOR UPDATE", [operation.pk]
        )
        async with running():
            await asyncio.sleep(0.3)
            assert await acount(status="cancelled") == 0
            await other.rollback()
            # The runner looks again after a second.
            await until_counted(2, status="cancelled")


async def test_two_runners_create_the_runs_of_a_back_fill_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 10)
    operation = await sync_to_async(a_back_fill)(150)

    async def has_done(number: int) -> bool:
        await operation.arefresh_from_db()
        return operation.done >= number

    async with running():
        async with running():
            await until(lambda: has_done(40))
        # The other one continues.
        await until(lambda: has_done(150))
    assert operation.state == "complete"
    await sync_to_async(assert_each_due_time_has_run_once)(operation)


async def test_an_error_of_django_s_connection_is_logged_and_retried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_chunk, failures = module.run_chunk, [OperationalError("the connection is closed")]

    def fail_once() -> ChunkResult | None:
        if failures:
            raise failures.pop()
        return run_chunk()

    monkeypatch.setattr(module, "run_chunk", fail_once)
    ids = await store(2)
    await create("cancel", ids=ids)
    async with running():
        await until_counted(2, status="cancelled")
    assert "bulk operation failed; retrying" in caplog.messages
