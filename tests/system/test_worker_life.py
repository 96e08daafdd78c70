"""How workers begin, lose their coordinator, and end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time

import psutil
import pytest

from tests.system.fleet import coordinator, end, free_port, manage, serving, until, until_counted
from tests.system.workers import (
    call,
    ended,
    online,
    output,
    run_worker,
    shell,
    until_gone,
    worker,
)
from tests.tasks.sample import in_s
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)


async def left(process: subprocess.Popen[str], deadline_s: float = 40) -> int:
    """The exit code."""
    return await asyncio.wait_for(asyncio.to_thread(process.wait), deadline_s)


async def test_sigterm_lets_ten_running_tasks_complete() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "10")
        await online("heron")
        ids = [await call("sleep", 2) for _ in range(5)]
        ids += [await shell("sleep 2; echo done") for _ in range(5)]
        await until_counted(10, status="started")
        process.send_signal(signal.SIGTERM)
        assert await left(process) == 0
        for task_id in ids:
            task = await ended(task_id, 1)
            assert (task.status, task.attempt, task.lease) == ("complete", 1, 1)
        async with asyncio.timeout(3):
            while await Worker.objects.exclude(status="offline").aexists():
                await asyncio.sleep(0.02)


async def test_a_stopping_worker_takes_nothing_new() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "4")
        await online("heron")
        running = await call("sleep", 2)
        await until_counted(1, status="started")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            while not await Worker.objects.filter(status="draining").aexists():
                await asyncio.sleep(0.02)
        late = await call("echo", 1)
        assert (await ended(running)).status == "complete"
        assert await left(process) == 0
        async with worker(address, name="stork"):
            assert (await ended(late)).worker == "stork"


async def test_a_second_signal_hands_back_what_runs_at_once() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "2")
        await online("heron")
        ids = [await call("start_and_sleep", "300.666"), await shell("sleep 300.777")]
        await until_counted(2, status="started")
        process.send_signal(signal.SIGTERM)
        await until_log(process, "worker stops")
        process.send_signal(signal.SIGTERM)
        assert await left(process, 10) == 1
        await until_gone("300.666")
        await until_gone("300.777")
        await until_counted(2, 10, pk__in=ids, status="pending", attempt=0)


async def until_log(process: subprocess.Popen[str], text: str) -> None:
    """Reads the log of a process until a line has this text."""

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            assert "Traceback" not in line, line + process.stdout.read()
            if text in line:
                return
        raise AssertionError(f"it ended without saying {text!r}")

    await asyncio.wait_for(asyncio.to_thread(read), 20)


async def test_without_a_coordinator_it_says_so_once_and_waits() -> None:
    port = free_port()
    process = run_worker(f"127.0.0.1:{port}", "--name", "heron")
    await until_log(process, "no coordinator reachable, waiting for one")
    async with coordinator(port):
        await online("heron")
        assert (await ended(await call("echo", 1))).result == 1
        assert await asyncio.to_thread(end, process) == 0
        assert process.stdout is not None
        assert "no coordinator reachable" not in process.stdout.read()


async def test_a_killed_coordinator_s_worker_goes_on_and_reports_to_the_next_one() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    await serving(f"127.0.0.1:{port}")
    async with coordinator() as second:
        addresses = f"127.0.0.1:{port},{second}"
        async with worker(addresses, "--concurrency", "4"):
            running = [await call("sleep", 3), await call("sleep", 0.5), await shell("sleep 3")]
            held = await call("echo", 1, scheduled_at=in_s(6))
            await until_counted(3, status="started")
            end(first, signal.SIGKILL)
            for task_id in running:
                task = await ended(task_id)
                assert (task.status, task.attempt, task.errors) == ("complete", 1, [])
            assert (await ended(held)).status == "complete"


async def test_a_killed_supervisor_leaves_no_process() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "3")
        await online("heron")
        ids = [await call("start_and_sleep", "300.888"), await shell("setsid sleep 300.999")]
        await until_counted(2, status="started")
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 5
        process.kill()
        process.wait()
        await until(lambda: not any(alive(each) for each in family), 10)
        await until_gone("300.888")
        await until_gone("300.999")
        for task_id in ids:
            assert [e["class"] for e in (await ended(task_id)).errors] == ["lost"]


async def test_a_killed_fork_server_ends_the_worker_and_leaves_no_process() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "3")
        await online("heron")
        ids = [
            await call("start_and_sleep", "300.123"),
            await shell("sleep 300.124 | sleep 300.125"),
        ]
        await until_counted(2, status="started")
        launcher = next(
            each
            for each in psutil.Process(process.pid).children()
            if "workers.daemon.launcher" in each.cmdline()
        )
        launcher.kill()
        assert await left(process, 15) == 1
        assert process.stdout is not None
        output = process.stdout.read()
        assert "The fork server died" in output
        assert "Traceback" not in output
        for marker in ("300.124", "300.125"):
            await until_gone(marker)
        for task_id in ids:
            # It may be a task's own doing, so it costs the attempt.
            assert [error["class"] for error in (await ended(task_id)).errors] == ["signal"]


async def test_a_command_holds_nothing_of_its_worker() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        listing = await shell(["ls", "-l", "/proc/self/fd"])
        assert (await ended(listing)).status == "complete"
        [(_, text)] = await output(listing)
        assert "socket:" not in text
        assert text.count("pipe:") == 2, text


async def test_arguments_of_the_largest_size_in_any_alphabet_are_taken() -> None:
    text = "漢" * 340_000
    async with coordinator() as address, worker(address, "--concurrency", "8"):
        ids = [await call("length", text) for _ in range(12)]
        for task_id in ids:
            assert (await ended(task_id)).result == 340_000


async def test_what_is_not_over_in_the_grace_is_handed_back_in_time() -> None:
    async with coordinator() as address:
        process = run_worker(
            address, "--name", "heron", "--concurrency", "2", TASKMASTER_SHUTDOWN_GRACE_S="4"
        )
        await online("heron")
        ids = [await call("sleep", 300), await shell("sleep 300.321")]
        await until_counted(2, status="started")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await left(process, 10) == 0
        assert time.monotonic() - began < 4
        await until_counted(2, 5, pk__in=ids, status="pending", attempt=0)


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_worker_takes_tasks_of_its_queues_only() -> None:
    async with coordinator() as address, worker(address, "--queues", "mail,reports"):
        [other, mine] = [await call("echo", 1, queue=queue) for queue in ("other", "reports")]
        assert (await ended(mine)).result == 1
        await until_counted(1, pk=other, status="pending")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pool", "eventlet"], "--pool is 'eventlet'; it must be one of process, threads, async"),
        (["--concurrency", "0"], "--concurrency is '0'; it must be a whole number from 1"),
        (["--max-tasks-per-child", "0"], "--max-tasks-per-child is '0'; it must be a whole number"),
        (["--max-memory-per-child", "2G"], "--max-memory-per-child is '2G'; it must be a whole"),
        (["--queues", "a b"], "'a b' is no queue name"),
        (["--coordinator", "nowhere"], "'nowhere' is no HOST:PORT"),
        (["--coordinator", "10.0.0.7:50051"], "10.0.0.7:50051 is no loopback address"),
        (["--name", ""], "--name must be 1 to 100 printable characters"),
    ],
)
def test_a_wrong_option_is_named_with_its_rule(options: list[str], said: str) -> None:
    process = manage("runworker", *options)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said in output
    assert "Traceback" not in output
