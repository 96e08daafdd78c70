"""Workers that an operator stops and kills."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command

from tests.system.fleet import coordinator, until, until_counted
from tests.system.workers import call, ended, online, run_worker, worker
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"TASKMASTER_HEARTBEAT_INTERVAL_S": "1", "TASKMASTER_LOST_CONTACT_MARGIN_S": "1"}


@asynccontextmanager
async def heron(address: str) -> AsyncIterator[subprocess.Popen[str]]:
    """A worker that is to leave by itself."""
    process = run_worker(address, "--name", "heron", "--concurrency", "2")
    try:
        await online("heron")
        yield process
    finally:
        process.kill()


async def left(process: subprocess.Popen[str]) -> int | None:
    """Waits until a worker has left and is known to have; the exit code."""
    await until(lambda: process.poll() is not None)
    async with asyncio.timeout(5):
        while await Worker.objects.filter(name="heron").exclude(status="offline").aexists():
            await asyncio.sleep(0.02)
    return process.poll()


async def operate(action: str) -> None:
    with open(os.devnull, "w") as nowhere:
        await sync_to_async(call_command)("taskmaster", action, "heron", stdout=nowhere)


async def test_a_stopped_worker_finishes_what_it_runs_and_leaves_with_exit_0() -> None:
    async with coordinator() as address, heron(address) as process:
        running_task = await call("sleep", 3)
        await until_counted(1, status="started")
        await operate("stop")
        late = await call("echo", 1)
        # Said again, it is no second signal.
        await operate("stop")
        assert (await ended(running_task)).status == "complete"
        assert await left(process) == 0
        await until_counted(1, pk=late, status="pending", attempt=0)


async def test_a_killed_worker_s_task_is_rescued_elsewhere() -> None:
    async with coordinator() as address, heron(address) as process:
        task_id = await call("sleep", 3, max_attempts=2)
        await until_counted(1, status="started")
        async with worker(address, name="stork"):
            await operate("kill")
            assert await left(process) == -signal.SIGKILL
            task = await ended(task_id)
    assert (task.status, task.worker, task.attempt) == ("complete", "stork", 2)
    assert [(each["class"], each["worker"]) for each in task.errors] == [("lost", "heron")]


@pytest.mark.parametrize(("command", "code"), [("stop", 0), ("kill", -signal.SIGKILL)])
async def test_a_command_that_nobody_heard_comes_with_the_next_heartbeat(
    command: str, code: int
) -> None:
    async with coordinator(**QUICK) as address, heron(address) as process:
        await Worker.objects.filter(name="heron").aupdate(command=command)
        assert await left(process) == code
