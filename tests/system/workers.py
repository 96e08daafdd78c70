"""Run real `runworker` processes and read the results of their tasks."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from asgiref.sync import sync_to_async

from taskmaster.tasks import task_actions
from taskmaster.tasks.models import TaskOutput
from taskmaster.workers.models import Worker
from tests.factories import stored
from tests.system.fleet import end, manage
from tests.waiting import until

cancel = sync_to_async(task_actions.cancel)
MODULE = "tests.system.sample_tasks"
store = sync_to_async(stored)


def run_worker(address: str, *options: str, **extra: str) -> subprocess.Popen[str]:
    """Start a worker process that knows the sample tasks."""
    return manage(
        "runworker", "--coordinator", address, *options, TASKMASTER_TASK_MODULES=MODULE, **extra
    )


async def online(name: str) -> Worker:
    """Wait until a worker of this name has registered."""
    found: Worker = await until(Worker.objects.filter(name=name, status="online").afirst, 20)
    return found


@asynccontextmanager
async def worker(
    address: str, *options: str, name: str = "heron", **extra: str
) -> AsyncIterator[subprocess.Popen[str]]:
    """Run a worker; yield when it is online, stop it gracefully at the end."""
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
    """Store a call of a sample task, by default with one attempt; return its id."""
    given = {"max_attempts": 1, **fields}
    [task_id] = await store(name=f"{MODULE}.{name}", args=json.dumps(args), kwargs="{}", **given)
    return task_id


async def shell(command: object, *, cwd: str | None = None, **fields: object) -> int:
    """Store a shell task; return its id."""
    kwargs = {"command": command} | ({"cwd": cwd} if cwd else {})
    given = {"max_attempts": 1, **fields}
    [task_id] = await store(name="shell", kwargs=json.dumps(kwargs), **given)
    return task_id


async def output(task_id: int) -> list[tuple[str, str]]:
    """Return (stream, text) of a task's output, joined by stream."""
    texts: dict[str, str] = {}
    chunks = TaskOutput.objects.filter(task_id=task_id).order_by("lease", "seq")
    async for chunk in chunks:
        texts[chunk.stream] = texts.get(chunk.stream, "") + chunk.text
    return sorted(texts.items())


def processes(marker: str) -> list[psutil.Process]:
    """Return the processes with this argument."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if marker in (process.info["cmdline"] or []) and process.info["status"] != "zombie"
    ]


async def until_gone(marker: str) -> None:
    """Wait until no such process is left."""
    await until(lambda: not processes(marker), 10)


async def until_log(process: subprocess.Popen[str], text: str) -> None:
    """Read the log of a process until a line contains this text."""

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            assert "Traceback" not in line, line + process.stdout.read()
            if text in line:
                return
        raise AssertionError(f"the process ended without logging {text!r}")

    await asyncio.wait_for(asyncio.to_thread(read), 20)
