"""Test bulk operations run by real coordinators."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import Event, Operation, Task
from tests.factories import in_s, locked, stored
from tests.system.fleet import (
    LATE_POLL,
    WireWorker,
    coordinator,
    count,
    end,
    free_port,
    manage,
    serving,
)
from tests.tasks.bulk.sample import (
    a_back_fill,
    an_operation,
    assert_each_due_time_has_run_once,
    in_status,
)
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)

start = sync_to_async(an_operation)
store = sync_to_async(stored)
LOOKING = (
    "SELECT pid FROM pg_locks "
    "WHERE relation = 'taskmaster_tasks_operation'::regclass AND NOT granted"
)
BLOCKED = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND query LIKE '%FROM taskmaster_tasks_schedule%'"
)
RESTING = "SELECT pid FROM pg_stat_activity WHERE pid = %s AND state = 'idle'"


@asynccontextmanager
async def idle_coordinator() -> AsyncIterator[None]:
    """Run a coordinator that has found no operations and waits for its safety poll."""
    with psycopg.connect(conninfo(), autocommit=True) as other:
        # Its first query waits for the locked table, so that the test sees it.
        other.execute("BEGIN")
        other.execute("LOCK TABLE taskmaster_tasks_operation")
        async with coordinator(**LATE_POLL):
            await until(lambda: other.execute(LOOKING).fetchone())
            [pid] = other.execute(LOOKING).fetchone() or [0]
            other.execute("COMMIT")
            await until(lambda: other.execute(RESTING, [pid]).fetchone())
            yield


async def until_state(operation: Operation, state: str, deadline_s: float = 20.0) -> None:
    async def is_reached() -> bool:
        await operation.arefresh_from_db()
        return operation.state == state

    await until(is_reached, deadline_s)


async def until_done(operation: Operation, number: int) -> None:
    async def is_reached() -> bool:
        await operation.arefresh_from_db()
        return operation.done >= number

    await until(is_reached, 20)


async def test_another_coordinator_finishes_the_operation_of_a_killed_one() -> None:
    ids = await sync_to_async(in_status)("failed", 5_000, attempt=1, max_attempts=1, queue="later")
    # These are not claimed again.
    middle = 2_600
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    await serving(f"127.0.0.1:{port}")
    with locked(ids[middle]):
        operation = await start("retry", filter={"status": "failed", "queue": "later"})
        await until_done(operation, middle)
        end(first, signal.SIGKILL)
        await operation.arefresh_from_db()
        assert (operation.state, operation.done) == ("running", middle)
    async with coordinator():
        await until_state(operation, "complete")
    assert (operation.done, operation.total, operation.refused) == (5_000, 5_000, {})
    # A second run would find no failed tasks, and `max_attempts` would be higher than 2.
    assert await Task.objects.filter(pk__in=ids, status="pending", max_attempts=2).acount() == 5_000


async def test_another_coordinator_finishes_the_back_fill_of_a_killed_one() -> None:
    operation = await sync_to_async(a_back_fill)(1_200)
    await sync_to_async(run_chunk)()
    port = free_port()
    with psycopg.connect(conninfo()) as other, psycopg.connect(conninfo(), autocommit=True) as look:
        # The next chunk waits with an open transaction.
        other.execute("SELECT FROM taskmaster_tasks_schedule FOR UPDATE")
        first = manage("runcoordinator", "--port", str(port))
        await until(lambda: look.execute(BLOCKED).fetchone())
        end(first, signal.SIGKILL)
    await operation.arefresh_from_db()
    assert (operation.state, operation.done) == ("running", 500)
    async with coordinator():
        await until_state(operation, "complete")
    assert operation.done == 1_200
    await sync_to_async(assert_each_due_time_has_run_once)(operation)


async def test_a_running_coordinator_continues_the_operation_before_its_poll() -> None:
    ids = await store(5_000)
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    await serving(f"127.0.0.1:{port}")
    async with coordinator(**LATE_POLL):
        with locked(ids[2_600]):
            operation = await start("cancel", filter={})
            await until_done(operation, 2_600)
            end(first, signal.SIGKILL)
        await until_state(operation, "complete")
    assert (operation.done, operation.refused) == (5_000, {})
    assert await Task.objects.filter(status="cancelled").acount() == 5_000


async def test_an_idle_coordinator_begins_immediately_and_publishes_events() -> None:
    async with idle_coordinator():
        await store(40, queue="mail")
        operation = await start("cancel", filter={"queue": "mail"})
        await until_state(operation, "complete")
        async with asyncio.timeout(10):
            while not await Event.objects.filter(kind="operator", text__startswith="c").aexists():
                await asyncio.sleep(0.05)
    events = [each async for each in Event.objects.filter(kind="operator").order_by("pk")]
    assert [(each.text, each.count) for each in events] == [
        ("started a bulk operation: cancel 40 tasks (queue=mail)", 40),
        ("cancelled 40 tasks (queue=mail)", 40),
    ]
    folded = await Event.objects.filter(kind="cancelled").aget()
    assert (folded.text, folded.count) == ("40 tasks of mail", 40)


async def test_running_tasks_are_cancelled_and_scheduled_ones_run_now() -> None:
    async with coordinator(**LATE_POLL) as address, WireWorker(address).running() as worker:
        worker.holding = True
        await store(3)
        await until(lambda: len(worker.offers) == 3)
        await until_counted(3, status="started")
        await until_state(await start("cancel", filter={"status": "started"}), "complete")
        await until(lambda: len(worker.cancelled) == 3)
        worker.holding = False
        later = await store(2, scheduled_at=in_s(3600))
        soon = await store(2, scheduled_at=in_s(25))
        await until_counted(2, status="picked", pk__in=soon)
        await until_state(await start("run_now", ids=later + soon), "complete")
        await until_counted(4, status="complete", pk__in=later + soon, deadline_s=15)


async def test_tasks_moved_from_a_queue_without_workers_run_in_another() -> None:
    async with (
        coordinator(**LATE_POLL) as address,
        WireWorker(address, queues=("fast",)).running(),
    ):
        ids: list[int] = await store(30, queue="slow")
        await until_state(
            await start("set_queue", filter={"queue": "slow"}, queue="fast"), "complete"
        )
        await until_counted(30, status="complete", deadline_s=15)
        assert await sync_to_async(count)(pk__in=ids, queue="fast", attempt=1) == 30


async def test_a_stopped_coordinator_leaves_the_rest_of_an_operation_to_another() -> None:
    ids = await store(1_200)
    async with AsyncExitStack() as others:
        with locked(ids[700]):
            # The context stops the coordinator gracefully while a chunk waits.
            async with coordinator():
                operation = await start("cancel", filter={})
                await until_done(operation, 700)
                await others.enter_async_context(coordinator())
        await until_state(operation, "complete")
    assert (operation.done, operation.refused) == (1_200, {})
