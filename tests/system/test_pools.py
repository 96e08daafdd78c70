"""Test worker pools with real workers and real coordinators."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks.models import Event
from taskmaster.workers.models import PoolMember, Worker, WorkerPool
from taskmaster.workers.pools import operations
from tests.system.fleet import coordinator, end, free_port, manage, serving
from tests.system.workers import MODULE, call, processes, shell
from tests.waiting import until, until_counted, until_finished
from tests.workers.pools.local import end_all

pytestmark = pytest.mark.django_db(transaction=True)

scale = sync_to_async(operations.scale)
change = sync_to_async(operations.change)


@pytest.fixture(autouse=True)
def herons(transactional_db: None) -> Iterator[None]:
    """Create a pool and kill its remaining workers at the end."""
    environment = {"TASKMASTER_TASK_MODULES": MODULE}
    fields = {"name": "herons", "executor": "thread", "concurrency": 2, "environment": environment}
    operations.create(fields)
    yield
    end_all()


async def until_pool(holds: Callable[[WorkerPool], object], deadline_s: float = 20.0) -> WorkerPool:
    pool = WorkerPool()

    async def is_reached() -> object:
        nonlocal pool
        pool = await WorkerPool.objects.aget(name="herons")
        return holds(pool)

    try:
        await until(is_reached, deadline_s)
    except TimeoutError:
        raise AssertionError(vars(pool)) from None
    return pool


async def until_steady(count: int) -> WorkerPool:
    return await until_pool(
        lambda pool: (pool.state, pool.actual, pool.registered) == ("steady", count, count)
    )


async def members() -> set[tuple[str, int | None]]:
    return {pair async for pair in PoolMember.objects.values_list("name", "pid")}


async def test_a_pool_reaches_its_desired_size_and_busy_workers_finish() -> None:
    async with coordinator():
        await scale("herons", 3)
        await until_steady(3)
        workers = Worker.objects.filter(pool="herons", status="online")
        assert {(each.name, each.slots, each.executor) async for each in workers} == {
            (f"herons-{number}", 2, "thread") for number in (1, 2, 3)
        }
        # Six slots: every worker runs two tasks.
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


async def test_the_commands_of_a_pool_s_worker_end_with_their_daemons() -> None:
    async with coordinator():
        await scale("herons", 1)
        await until_steady(1)
        command = await shell("(setsid sleep 300.501 >/dev/null 2>&1 &); sleep 0.2")
        assert (await until_finished(command)).result == {"exit_code": 0}
        assert not processes("300.501")
        await scale("herons", 0)
        await until_steady(0)


async def test_another_coordinator_adopts_the_workers_of_a_killed_one() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    try:
        await serving(f"127.0.0.1:{port}")
        async with coordinator():
            # By then the coordinators know each other, and so the workers know both.
            await scale("herons", 2)
            await until_steady(2)
            before = await members()
            first.kill()
            killed = asyncio.get_running_loop().time()
            await scale("herons", 3)
            await until_pool(lambda pool: pool.actual == 3)
            took_s = asyncio.get_running_loop().time() - killed
            # On an idle machine: 2 s for the lock, and less than 2 s until the worker connects.
            assert took_s < 8
            assert before < await members()
            await until_steady(3)
            # A worker that dies is replaced, also an adopted one.
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


async def test_a_frozen_leader_is_replaced() -> None:
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
            # It finds that its session is gone, and only observes from then on.
            assert await asyncio.to_thread(end, first) == 0
            await until_steady(1)
            await scale("herons", 0)
            await until_steady(0)
    finally:
        first.kill()
        first.wait(10)


async def test_workers_that_die_at_start_back_off_and_their_output_is_shown() -> None:
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


async def test_a_failing_provider_is_shown_and_its_workers_continue() -> None:
    await WorkerPool.objects.filter(name="herons").aupdate(provider="compose", desired=2)
    async with coordinator(PATH="/nonexistent", DOCKER_HOST="unix:///nonexistent"):
        pool = await until_pool(lambda pool: pool.state == "provider_failed")
        assert pool.error
        assert pool.desired == 2


async def test_workers_outlive_a_stopped_coordinator_and_the_next_one_adopts_them() -> None:
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


async def test_an_autoscaled_pool_grows_for_waiting_tasks_and_shrinks_again() -> None:
    await change("herons", {"autoscale": True, "target_wait_s": 1, "cool_down_s": 5, "maximum": 3})
    async with coordinator():
        for _ in range(4):
            await call("sleep", 0.5)
        await until_counted(4, status="complete", attempt=1)
        await until_pool(lambda pool: (pool.desired, pool.actual) == (0, 0))
    texts = Event.objects.filter(kind="operator", text__startswith="autoscaled pool herons:")
    found = [text async for text in texts.order_by("pk").values_list("text", flat=True)]
    assert found[0].startswith("autoscaled pool herons: 0 → 1, 4 due")
    assert found[-1] == "autoscaled pool herons: 1 → 0, nothing is due, 0 slots are busy"
