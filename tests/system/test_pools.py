"""Pools of real workers, with real coordinators."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async

from tasks.models import Event
from tests.system.fleet import coordinator, end, free_port, manage, serving, until_counted
from tests.system.workers import MODULE, call
from tests.workers.pools.local import end_all
from workers.models import PoolMember, Worker, WorkerPool
from workers.pools import operations

pytestmark = pytest.mark.django_db(transaction=True)

scale = sync_to_async(operations.scale)
change = sync_to_async(operations.change)


@pytest.fixture(autouse=True)
def herons(transactional_db: None) -> Iterator[None]:
    """A pool of its own; what is left of it is ended."""
    environment = {"TASKMASTER_TASK_MODULES": MODULE}
    fields = {"name": "herons", "kind": "threads", "concurrency": 2, "environment": environment}
    operations.create(fields)
    yield
    end_all()


async def until_pool(holds: Callable[[WorkerPool], object], deadline_s: float = 20.0) -> WorkerPool:
    pool = await WorkerPool.objects.aget(name="herons")
    try:
        async with asyncio.timeout(deadline_s):
            while not holds(pool):
                await asyncio.sleep(0.02)
                pool = await WorkerPool.objects.aget(name="herons")
    except TimeoutError:
        raise AssertionError(vars(pool)) from None
    return pool


async def until_steady(count: int) -> WorkerPool:
    return await until_pool(
        lambda pool: (pool.state, pool.actual, pool.registered) == ("steady", count, count)
    )


async def members() -> set[tuple[str, int | None]]:
    return {pair async for pair in PoolMember.objects.values_list("name", "pid")}


async def test_what_is_desired_comes_to_be_and_who_runs_something_may_finish() -> None:
    async with coordinator():
        await scale("herons", 3)
        await until_steady(3)
        workers = Worker.objects.filter(pool_name="herons", status="online")
        assert {(each.name, each.slots, each.pool) async for each in workers} == {
            (f"herons-{number}", 2, "threads") for number in (1, 2, 3)
        }
        # Six slots: every worker runs two.
        tasks = [await call("sleep", 2) for _ in range(6)]
        await until_counted(6, status="started")
        await scale("herons", 1)
        await until_pool(lambda pool: pool.draining == 2)
        await until_counted(6, status="complete", attempt=1)
        assert len(tasks) == 6
        await until_steady(1)
        await scale("herons", 0)
        await until_steady(0)
        assert await members() == set()


async def test_when_the_one_that_acts_is_killed_another_adopts_its_workers_in_2_s() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    try:
        await serving(f"127.0.0.1:{port}")
        async with coordinator():
            # By then both know each other, so the workers do.
            await scale("herons", 2)
            await until_steady(2)
            before = await members()
            first.kill()
            killed = asyncio.get_running_loop().time()
            await scale("herons", 3)
            await until_pool(lambda pool: pool.actual == 3)
            took_s = asyncio.get_running_loop().time() - killed
            # Two for the lock, and what a worker takes.
            assert took_s < 2 + 2
            assert before < await members()
            await until_steady(3)
            # A worker that dies is replaced, also one that was adopted.
            victim = next(pid for name, pid in before if name == "herons-1")
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            await until_pool(lambda pool: pool.actual < 3)
            await until_steady(3)
            await scale("herons", 0)
            await until_steady(0)
    finally:
        with suppress(ProcessLookupError):
            first.kill()
        first.wait(10)


async def test_one_that_is_frozen_does_not_act_for_ever() -> None:
    quick = {
        "TASKMASTER_HEARTBEAT_INTERVAL_S": "1",
        "TASKMASTER_LOST_CONTACT_MARGIN_S": "1",
        "TASKMASTER_RECONNECT_GRACE_S": "0.5",
    }
    port = free_port()
    first = manage("runcoordinator", "--port", str(port), **quick)
    try:
        await serving(f"127.0.0.1:{port}")
        async with coordinator(**quick):
            first.send_signal(signal.SIGSTOP)
            await scale("herons", 1)
            await until_steady(1)
            first.send_signal(signal.SIGCONT)
            # It finds its session gone, and only watches from then on.
            assert await asyncio.to_thread(end, first) == 0
            await until_steady(1)
            await scale("herons", 0)
            await until_steady(0)
    finally:
        first.kill()
        first.wait(10)


async def test_workers_that_die_at_start_are_backed_off_from_and_their_words_shown() -> None:
    broken = {"environment": {"TASKMASTER_TASK_MODULES": "no.such.module"}, "desired": 2}
    await sync_to_async(operations.change)("herons", broken)
    async with coordinator():
        pool = await until_pool(lambda pool: pool.failures >= 2)
        assert pool.state == "backing_off"
        assert "No module named 'no'" in pool.last_log
        assert pool.retry_at is not None
        mended = {"environment": {"TASKMASTER_TASK_MODULES": MODULE}}
        await sync_to_async(operations.change)("herons", mended)
        await until_steady(2)
        await scale("herons", 0)
        await until_steady(0)


async def test_a_provider_that_is_missing_or_fails_is_shown_and_its_workers_are_left() -> None:
    await WorkerPool.objects.filter(name="herons").aupdate(provider="compose", desired=2)
    async with coordinator(PATH="/nonexistent", DOCKER_HOST="unix:///nonexistent"):
        pool = await until_pool(lambda pool: pool.state == "provider_failed")
        assert pool.error
        assert pool.desired == 2


async def test_workers_outlive_a_coordinator_that_stops_and_are_the_next_one_s() -> None:
    port = free_port()
    async with coordinator(port):
        await scale("herons", 2)
        await until_steady(2)
        before = await members()
        running = await call("sleep", 3)
        await until_counted(1, status="started")
    async with coordinator(port):
        await until_steady(2)
        assert await members() == before
        await until_counted(1, pk=running, status="complete", attempt=1)
        await scale("herons", 0)
        await until_steady(0)


async def test_a_pool_that_scales_by_itself_comes_for_what_waits_and_goes_again() -> None:
    await change("herons", {"autoscale": True, "target_wait_s": 1, "cool_down_s": 5, "maximum": 3})
    async with coordinator():
        for _ in range(4):
            await call("sleep", 0.5)
        await until_counted(4, status="complete", attempt=1)
        await until_pool(lambda pool: (pool.desired, pool.actual) == (0, 0))
    texts = Event.objects.filter(kind="operator", text__startswith="pool herons:")
    said = [text async for text in texts.order_by("pk").values_list("text", flat=True)]
    assert said[0].startswith("pool herons: 0 → 1 by itself, 4 due")
    assert said[-1] == "pool herons: 1 → 0 by itself, nothing is due, 0 slots are busy"
