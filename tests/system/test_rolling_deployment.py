"""Test a rolling deployment: a task of new code waits for a worker that has this code."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks import fleet
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.models import Task
from taskmaster.workers import operations
from taskmaster.workers.models import Worker
from tests.system.fleet import WireWorker, coordinator, end, manage
from tests.system.test_reasons import until_reason
from tests.system.workers import MODULE, call, online, store, worker
from tests.waiting import until, until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)

FRESH = f"{MODULE}.echo"
OLD = "examples.tasks.add"


async def submit(name: str, *args: object) -> int:
    """Submit a call by name, as a program does that has not the new code either."""
    return (await sync_to_async(lambda: bulk([new(name, *args)]))())[0]


async def test_a_task_of_new_code_waits_for_a_new_worker_and_needs_one_attempt() -> None:
    async with coordinator() as address:
        old_process = manage("runworker", "--coordinator", address, "--name", "old")
        try:
            old = await online("old")
            assert OLD in (await Worker.objects.only("tasks").aget(pk=old.pk)).tasks
            # A program that has the new code has submitted it.
            fresh = await call("echo", 7, max_attempts=10)
            await until_reason(fresh, f"No connected worker knows {FRESH}\\.")
            await until_counted(1, pk=fresh, status="waiting", waiting_for=FRESH)
            done = await until_finished(await submit(OLD, 1, 2))
            assert (done.status, done.worker) == ("complete", "old")

            async with worker(address, name="new"):
                task = await until_finished(fresh)
                assert (task.status, task.attempt, task.worker) == ("complete", 1, "new")
                assert (task.result, task.errors) == (7, [])
                # Now this process accepts the name, because a worker has announced it.
                await until(sync_to_async(lambda: fleet.is_announced(FRESH)), 20)
                many = [await submit(FRESH, number) for number in range(6)]
                for task_id in many:
                    task = await until_finished(task_id)
                    assert (task.status, task.attempt, task.worker) == ("complete", 1, "new")

                await sync_to_async(operations.drain)(old.pk)
                assert await asyncio.to_thread(old_process.wait, 45) == 0
                done = await until_finished(await submit(OLD, 3, 4))
                assert (done.status, done.worker) == ("complete", "new")

                # A worker of the protocol before announces no names, and is offered every task.
                before = WireWorker(address, slots=50)
                async with before.running():
                    welcome = before.welcome
                    assert (welcome.protocol_min, welcome.protocol_max) == (1, 2)
                    await store(name="vanished.task", args="[7]", kwargs="{}")
                    await until_counted(1, name="vanished.task", status="complete")
                row = await Worker.objects.only("tasks").aget(pk=before.id)
                assert row.tasks is None
        finally:
            if old_process.poll() is None:
                await asyncio.to_thread(end, old_process)
    assert not await Task.objects.exclude(status="complete").aexists()
