"""Test workers that an operator stops and kills."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command

from taskmaster.workers.models import Worker
from tests.system.fleet import coordinator
from tests.system.workers import call, online, run_worker, worker
from tests.waiting import until, until_counted, until_finished, until_offline

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"TASKMASTER_HEARTBEAT_INTERVAL_S": "1", "TASKMASTER_LOST_CONTACT_MARGIN_S": "1"}


@asynccontextmanager
async def heron(address: str) -> AsyncIterator[subprocess.Popen[str]]:
    """Run a worker that is expected to exit by itself."""
    process = run_worker(address, "--name", "heron", "--concurrency", "2")
    try:
        await online("heron")
        yield process
    finally:
        process.kill()


async def until_left(process: subprocess.Popen[str]) -> int | None:
    """Wait until a worker has exited and is offline; return the exit code."""
    await until(lambda: process.poll() is not None)
    await until_offline("heron")
    return process.poll()


async def operate(action: str) -> None:
    with open(os.devnull, "w") as null:
        await sync_to_async(call_command)("taskmaster", action, "heron", stdout=null)


async def test_a_stopped_worker_finishes_its_tasks_and_exits_with_0() -> None:
    async with coordinator() as address, heron(address) as process:
        running_task = await call("sleep", 3)
        await until_counted(1, status="started")
        await operate("stop")
        late = await call("echo", 1)
        # A repeated command has no further effect.
        await operate("stop")
        assert (await until_finished(running_task)).status == "complete"
        assert await until_left(process) == 0
        await until_counted(1, pk=late, status="pending", attempt=0)


async def test_a_killed_worker_s_task_is_rescued_by_another() -> None:
    async with coordinator() as address, heron(address) as process:
        task_id = await call("sleep", 3, max_attempts=2)
        await until_counted(1, status="started")
        await operate("kill")
        assert await until_left(process) == -signal.SIGKILL
        async with worker(address, name="stork"):
            task = await until_finished(task_id)
    assert (task.status, task.worker, task.attempt) == ("complete", "stork", 2)
    assert [(each["class"], each["worker"]) for each in task.errors] == [("lost", "heron")]


@pytest.mark.parametrize(("command", "code"), [("stop", 0), ("kill", -signal.SIGKILL)])
async def test_an_undelivered_command_arrives_with_the_next_heartbeat(
    command: str, code: int
) -> None:
    async with coordinator(**QUICK) as address, heron(address) as process:
        await Worker.objects.filter(name="heron").aupdate(command=command)
        assert await until_left(process) == code
