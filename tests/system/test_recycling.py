"""Children that are replaced when they have begun enough tasks or grown too large."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from tasks.models import Task
from tests.system.fleet import coordinator, until, until_counted
from tests.system.test_worker_life import until_log
from tests.system.workers import call, ended, worker

pytestmark = pytest.mark.django_db(transaction=True)

POOLS = pytest.mark.parametrize("pool", ["process", "threads", "async"])


async def pids(task_ids: list[int]) -> list[int]:
    """Where tasks ran that return their pid; each has succeeded at its first attempt."""
    found = []
    for task_id in task_ids:
        task = await ended(task_id)
        assert (task.status, task.attempt, task.errors) == ("complete", 1, [])
        assert isinstance(task.result, int)
        found.append(task.result)
    return found


@POOLS
async def test_a_child_begins_so_many_tasks_and_no_more(pool: str) -> None:
    options = ("--pool", pool, "--concurrency", "2", "--max-tasks-per-child", "5")
    async with coordinator() as address, worker(address, *options):
        ran = await pids([await call("pid") for _ in range(60)])
        for each in set(ran):
            assert ran.count(each) <= 5
        # Those that have begun their last are replaced and gone, those that have not live on.
        full = [each for each in set(ran) if ran.count(each) == 5]
        assert len(full) >= 10
        await until(lambda: not any(map(psutil.pid_exists, full)))


async def test_one_child_at_a_time_is_used_up_in_turn() -> None:
    options = ("--concurrency", "1", "--max-tasks-per-child", "3")
    async with coordinator() as address, worker(address, *options):
        ran = await pids([await call("pid") for _ in range(9)])
    assert [ran.index(each) for each in dict.fromkeys(ran)] == [0, 3, 6]


@POOLS
async def test_what_a_recycled_child_runs_finishes_while_a_fresh_one_works(pool: str) -> None:
    options = ("--pool", pool, "--concurrency", "2", "--max-tasks-per-child", "1")
    async with coordinator() as address, worker(address, *options):
        slow = await call("sleep_and_tell_pid", 2.5)
        await until_counted(1, status="started")
        ran = await pids([await call("pid") for _ in range(8)])
        assert len(set(ran)) == 8
        assert (await Task.objects.aget(pk=slow)).status == "started"
        [old] = await pids([slow])
        assert old not in ran
        await until(lambda: not psutil.pid_exists(old))


@POOLS
async def test_a_child_that_leaks_is_followed_by_a_fresh_one(pool: str) -> None:
    options = ("--pool", pool, "--concurrency", "1", "--max-memory-per-child", "250")
    async with coordinator() as address, worker(address, *options):
        [modest] = await pids([await call("leak", 10)])
        # Two looks at its memory pass, one a second, and nothing happens.
        await asyncio.sleep(2.2)
        assert await pids([await call("pid")]) == [modest]
        [leaking] = await pids([await call("leak", 300)])
        assert leaking == modest
        await until(lambda: not psutil.pid_exists(leaking), 5)
        [fresh] = await pids([await call("pid")])
        assert fresh != leaking
        # One look passes, and the fresh one is left alone.
        await asyncio.sleep(1.5)
        assert psutil.pid_exists(fresh)


@POOLS
async def test_a_child_that_leaks_finishes_what_it_runs(pool: str) -> None:
    options = ("--pool", pool, "--concurrency", "2", "--max-memory-per-child", "250")
    async with coordinator() as address, worker(address, *options) as process:
        began = time.monotonic()
        long = await call("leak_and_sleep", 300, 4)
        await until_counted(1, status="started")
        await until_log(process, "child recycled")
        assert time.monotonic() - began < 2.5, "it is replaced with the second look at the latest"
        ran = await pids([await call("pid") for _ in range(6)])
        assert (await Task.objects.aget(pk=long)).status == "started"
        [old] = await pids([long])
        assert old not in ran
        await until(lambda: not psutil.pid_exists(old))


@POOLS
async def test_many_short_tasks_all_succeed_while_children_come_and_go(pool: str) -> None:
    options = ("--pool", pool, "--concurrency", "4", "--max-tasks-per-child", "7")
    async with coordinator() as address, worker(address, *options):
        ids = [await call("pid") for _ in range(300)]
        await until_counted(300, 60, status="complete")
        ran = await pids(ids)
        assert all(ran.count(each) <= 7 for each in set(ran))


async def test_a_limit_below_a_fresh_child_is_said() -> None:
    options = ("--concurrency", "1", "--max-memory-per-child", "1")
    async with coordinator() as address, worker(address, *options) as process:
        await until_log(process, "memory limit is below what a fresh child takes")
        assert await pids([await call("pid")])
