"""Test a rolling deployment: a task of new code waits for a worker that has this code."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks import fleet
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.errors import UnknownTaskName
from taskmaster.workers import operations
from taskmaster.workers.models import Worker
from tests.system.fleet import WireWorker, coordinator, end, manage
from tests.system.test_reasons import until_reason
from tests.system.workers import MODULE, call, online, store
from tests.waiting import until, until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)

FRESH = f"{MODULE}.echo"
OLD = "examples.tasks.add"


class Process(NamedTuple):
    """A worker process and the id of its worker."""

    process: subprocess.Popen[str]
    worker: UUID


async def submit(name: str, *args: object) -> int:
    """Submit a call by name, like a program that does not have the new code."""
    return (await sync_to_async(lambda: bulk([new(name, *args)]))())[0]


@asynccontextmanager
async def worker_with(address: str, name: str, *modules: str) -> AsyncIterator[Process]:
    """Run a worker that has these modules. Yield its process and its id."""
    environ = {"TASKMASTER_TASK_MODULES": ",".join(modules)}
    process = manage("runworker", "--coordinator", address, "--name", name, **environ)
    try:
        yield Process(process, (await online(name)).pk)
    finally:
        assert await asyncio.to_thread(end, process) == 0


async def test_a_task_of_new_code_waits_for_a_new_worker_and_needs_one_attempt() -> None:
    async with coordinator() as address, worker_with(address, "old", "examples.tasks") as old:
        assert OLD in await known_by(old.worker)
        # A program that has the new code has submitted it.
        fresh = await call("echo", 7, max_attempts=10)
        await until_reason(fresh, f"No connected worker knows {FRESH}\\.")
        await until_counted(1, pk=fresh, status="waiting", waiting_for=FRESH)
        await completed(await submit(OLD, 1, 2), by="old")
        async with worker_with(address, "new", "examples.tasks", MODULE):
            assert await completed(fresh, by="new") == 7
            # Now this process accepts the name too, because a worker has announced it.
            await until(sync_to_async(lambda: fleet.is_announced(FRESH)), 20)
            for task_id in [await submit(FRESH, number) for number in range(6)]:
                await completed(task_id, by="new")
            await sync_to_async(operations.drain)(old.worker)
            assert await asyncio.to_thread(old.process.wait, 45) == 0
            await completed(await submit(OLD, 3, 4), by="new")


async def test_a_worker_of_the_protocol_before_announces_no_names_and_is_offered_every_task() -> (
    None
):
    async with coordinator() as address, WireWorker(address).running() as before:
        assert (before.welcome.protocol_min, before.welcome.protocol_max) == (1, 2)
        assert await known_by(before.id) is None
        await store(name="any.task", args="[7]", kwargs="{}")
        await until_counted(1, name="any.task", status="complete", attempt=1)
        # A worker that announces no names makes no name known.
        with pytest.raises(UnknownTaskName):
            await submit("any.task")


async def known_by(worker: object) -> list[str] | None:
    """Return the names that a worker has announced."""
    names: list[str] | None = (await Worker.objects.only("tasks").aget(pk=worker)).tasks
    return names


async def completed(task_id: int, *, by: str) -> object:
    """Wait until this worker has completed the task at its first attempt. Return the result."""
    task = await until_finished(task_id)
    assert (task.status, task.attempt, task.worker, task.errors) == ("complete", 1, by, [])
    return task.result
