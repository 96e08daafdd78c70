"""Test that children are replaced after enough tasks or above their memory limit."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from taskmaster.tasks.models import Task
from tests.system.fleet import coordinator
from tests.system.workers import call, until_log, worker
from tests.waiting import until, until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)

#: A child of `thread` is shared like one of `async`, so `make test` leaves it to `make test-long`.
_LONG = pytest.mark.long
EXECUTORS = pytest.mark.parametrize(
    "executor",
    ["process", pytest.param("thread", marks=_LONG), pytest.param("async", marks=_LONG)],
)
#: One that has a child for each slot, and one whose slots share a child.
SEPARATE_AND_SHARED = pytest.mark.parametrize(
    "executor", ["process", pytest.param("thread", marks=_LONG), "async"]
)


async def pids(task_ids: list[int]) -> list[int]:
    """Return the pids of tasks that returned them; each task succeeded at its first attempt."""
    found = []
    for task_id in task_ids:
        task = await until_finished(task_id)
        assert (task.status, task.attempt, task.errors) == ("complete", 1, [])
        assert isinstance(task.result, int)
        found.append(task.result)
    return found


@EXECUTORS
async def test_a_child_begins_at_most_the_configured_number_of_tasks(executor: str) -> None:
    options = ("--executor", executor, "--concurrency", "2", "--max-tasks-per-child", "5")
    async with coordinator() as address, worker(address, *options):
        ran = await pids([await call("pid") for _ in range(60)])
        for each in set(ran):
            assert ran.count(each) <= 5
        # Children that have begun their last task are replaced; the others still live.
        full = [each for each in set(ran) if ran.count(each) == 5]
        assert len(full) >= 10
        await until(lambda: not any(map(psutil.pid_exists, full)))


async def test_children_reach_their_task_limit_one_after_the_other() -> None:
    options = ("--concurrency", "1", "--max-tasks-per-child", "3")
    async with coordinator() as address, worker(address, *options):
        ran = await pids([await call("pid") for _ in range(9)])
    assert [ran.index(each) for each in dict.fromkeys(ran)] == [0, 3, 6]


@SEPARATE_AND_SHARED
async def test_tasks_of_a_recycled_child_finish_while_a_fresh_one_works(executor: str) -> None:
    options = ("--executor", executor, "--concurrency", "2", "--max-tasks-per-child", "1")
    async with coordinator() as address, worker(address, *options):
        slow = await call("sleep_and_return_pid", 2.5)
        await until_counted(1, status="started")
        ran = await pids([await call("pid") for _ in range(8)])
        assert len(set(ran)) == 8
        assert (await Task.objects.aget(pk=slow)).status == "started"
        [old] = await pids([slow])
        assert old not in ran
        await until(lambda: not psutil.pid_exists(old))


@SEPARATE_AND_SHARED
async def test_a_leaking_child_is_replaced(executor: str) -> None:
    options = ("--executor", executor, "--concurrency", "1", "--max-memory-per-child", "250")
    async with coordinator() as address, worker(address, *options):
        [modest] = await pids([await call("leak", 10)])
        # Two checks of its memory pass, one per second, and nothing happens.
        await asyncio.sleep(2.2)
        assert await pids([await call("pid")]) == [modest]
        [leaking] = await pids([await call("leak", 300)])
        assert leaking == modest
        await until(lambda: not psutil.pid_exists(leaking))
        [fresh] = await pids([await call("pid")])
        assert fresh != leaking
        # One check passes, and the fresh child is kept.
        await asyncio.sleep(1.5)
        assert psutil.pid_exists(fresh)


@EXECUTORS
async def test_a_leaking_child_finishes_its_tasks(executor: str) -> None:
    options = ("--executor", executor, "--concurrency", "2", "--max-memory-per-child", "250")
    async with coordinator() as address, worker(address, *options) as process:
        long = await call("leak_and_sleep", 300, 6)
        await until_counted(1, status="started")
        await until_log(process, "child recycled")
        ran = await pids([await call("pid") for _ in range(6)])
        assert (await Task.objects.aget(pk=long)).status == "started"
        [old] = await pids([long])
        assert old not in ran
        await until(lambda: not psutil.pid_exists(old))


@pytest.mark.long
@EXECUTORS
async def test_many_short_tasks_succeed_while_children_are_replaced(executor: str) -> None:
    options = ("--executor", executor, "--concurrency", "4", "--max-tasks-per-child", "7")
    async with coordinator() as address, worker(address, *options):
        ids = [await call("pid") for _ in range(300)]
        await until_counted(300, 60, status="complete")
        ran = await pids(ids)
        assert all(ran.count(each) <= 7 for each in set(ran))


async def test_a_memory_limit_below_a_fresh_child_is_logged() -> None:
    options = ("--concurrency", "1", "--max-memory-per-child", "1")
    async with coordinator() as address, worker(address, *options) as process:
        await until_log(process, "memory limit is below the memory of a new child")
        assert await pids([await call("pid")])
