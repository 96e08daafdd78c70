"""Real `runworker` processes, and what became of the tasks that they got."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from asgiref.sync import sync_to_async

from tasks.lifecycle import FINISHED
from tasks.models import Task, TaskOutput
from tests.system.fleet import end, manage, until
from tests.tasks.sample import stored
from workers.models import Worker

MODULE = "tests.system.sample_tasks"
store = sync_to_async(stored)


def run_worker(address: str, *options: str, **extra: str) -> subprocess.Popen[str]:
    """A worker process that knows the sample tasks."""
    return manage(
        "runworker", "--coordinator", address, *options, TASKMASTER_TASK_MODULES=MODULE, **extra
    )


async def online(name: str) -> Worker:
    """Waits until a worker of this name has registered."""
    async with asyncio.timeout(20):
        while True:
            found = await Worker.objects.filter(name=name, status="online").afirst()
            if found is not None:
                return found
            await asyncio.sleep(0.02)


@asynccontextmanager
async def worker(
    address: str, *options: str, name: str = "heron", **extra: str
) -> AsyncIterator[subprocess.Popen[str]]:
    """A worker that is online; stopped gracefully at the end."""
    process = run_worker(address, "--name", name, *options, **extra)
    try:
        await online(name)
        yield process
    finally:
        code = await asyncio.to_thread(end, process)
        assert process.stdout is not None
        output = process.stdout.read()
        assert "Traceback" not in output, output
    assert code == 0, output


async def call(name: str, *args: object, **fields: object) -> int:
    """The id of a stored call of a sample task, which gets one attempt unless said otherwise."""
    given = {"max_attempts": 1, **fields}
    [task_id] = await store(name=f"{MODULE}.{name}", args=json.dumps(args), kwargs="{}", **given)
    return task_id


async def shell(command: object, *, cwd: str | None = None, **fields: object) -> int:
    """The id of a stored shell task."""
    kwargs = {"command": command} | ({"cwd": cwd} if cwd else {})
    given = {"max_attempts": 1, **fields}
    [task_id] = await store(name="shell", kwargs=json.dumps(kwargs), **given)
    return task_id


async def ended(task_id: int, deadline_s: float = 20.0) -> Task:
    """Waits until a task has ended."""
    async with asyncio.timeout(deadline_s):
        while True:
            task = await Task.objects.aget(pk=task_id)
            if task.status in FINISHED:
                return task
            await asyncio.sleep(0.02)


async def output(task_id: int) -> list[tuple[str, str]]:
    """(stream, text) of what a task printed, joined by stream."""
    texts: dict[str, str] = {}
    chunks = TaskOutput.objects.filter(task_id=task_id).order_by("lease", "seq")
    async for chunk in chunks:
        texts[chunk.stream] = texts.get(chunk.stream, "") + chunk.text
    return sorted(texts.items())


def processes(marker: str) -> list[psutil.Process]:
    """Those with this among their arguments."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if marker in (process.info["cmdline"] or []) and process.info["status"] != "zombie"
    ]


async def until_gone(marker: str) -> None:
    """Waits until no such process is left."""
    await until(lambda: not processes(marker), 10)
