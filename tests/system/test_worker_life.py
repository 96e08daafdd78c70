"""Test how workers start, lose their coordinator, and stop."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import psutil
import pytest

from taskmaster.tasks.models import TaskOutput
from taskmaster.workers.models import Worker
from tests.factories import in_s
from tests.system.fleet import coordinator, end, free_port, manage, serving
from tests.system.workers import (
    call,
    online,
    output,
    run_worker,
    shell,
    until_gone,
    until_log,
    worker,
)
from tests.waiting import until, until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)


async def exit_code(process: subprocess.Popen[str], deadline_s: float = 40) -> int:
    """Wait for the exit and return the exit code."""
    return await asyncio.wait_for(asyncio.to_thread(process.wait), deadline_s)


async def test_sigterm_lets_ten_running_tasks_complete() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "10")
        await online("heron")
        ids = [await call("sleep", 2) for _ in range(5)]
        ids += [await shell("sleep 2; echo done") for _ in range(5)]
        await until_counted(10, status="started")
        process.send_signal(signal.SIGTERM)
        assert await exit_code(process) == 0
        for task_id in ids:
            task = await until_finished(task_id)
            assert (task.status, task.attempt, task.lease) == ("complete", 1, 1)
        async with asyncio.timeout(15):
            while await Worker.objects.exclude(status="offline").aexists():
                await asyncio.sleep(0.02)
        row = await Worker.objects.aget()
        assert (row.tasks_done, row.tasks_failed, row.ended) == (10, 0, "stopped")


async def test_a_stopping_worker_accepts_no_new_tasks() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "4")
        await online("heron")
        running = await call("sleep", 2)
        await until_counted(1, status="started")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            while not await Worker.objects.filter(status="draining").aexists():
                await asyncio.sleep(0.02)
        late = await call("echo", 1)
        assert (await until_finished(running)).status == "complete"
        assert await exit_code(process) == 0
        async with worker(address, name="stork"):
            assert (await until_finished(late)).worker == "stork"


async def test_a_second_signal_releases_running_tasks_immediately() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "2")
        await online("heron")
        ids = [await call("start_and_sleep", "300.666"), await shell("sleep 300.777")]
        await until_counted(2, status="started")
        process.send_signal(signal.SIGTERM)
        await until_log(process, "worker stopping")
        process.send_signal(signal.SIGTERM)
        assert await exit_code(process, 10) == 1
        await until_gone("300.666")
        await until_gone("300.777")
        await until_counted(2, 10, pk__in=ids, status="pending", attempt=0)


async def test_a_worker_without_a_coordinator_logs_it_once_and_waits() -> None:
    port = free_port()
    process = run_worker(f"127.0.0.1:{port}", "--name", "heron")
    await until_log(process, "no coordinator reachable, retrying")
    async with coordinator(port):
        await online("heron")
        assert (await until_finished(await call("echo", 1))).result == 1
        assert await asyncio.to_thread(end, process) == 0
        assert process.stdout is not None
        assert "no coordinator reachable" not in process.stdout.read()


async def test_a_killed_coordinator_s_worker_reports_to_the_next_one() -> None:
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
                task = await until_finished(task_id)
                assert (task.status, task.attempt, task.errors) == ("complete", 1, [])
            assert (await until_finished(held)).status == "complete"


def family_of(pid: int, *, at_least: int) -> list[psutil.Process]:
    """Return the descendants of a process, or an empty list if there are fewer."""
    found = psutil.Process(pid).children(recursive=True)
    return found if len(found) >= at_least else []


async def test_a_killed_supervisor_leaves_no_process() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "3")
        await online("heron")
        ids = [await call("start_and_sleep", "300.888"), await shell("setsid sleep 300.999")]
        await until_counted(2, status="started")
        # The processes start after their start is reported.
        family = await until(lambda: family_of(process.pid, at_least=5))
        process.kill()
        process.wait()
        await until(lambda: not any(alive(each) for each in family), 10)
        await until_gone("300.888")
        await until_gone("300.999")
        for task_id in ids:
            assert [e["class"] for e in (await until_finished(task_id)).errors] == ["lost"]


async def test_a_killed_fork_server_ends_the_worker_and_leaves_no_process() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "3")
        await online("heron")
        ids = [
            await call("start_and_sleep", "300.123"),
            await shell("echo ready; sleep 300.124 | sleep 300.125"),
        ]
        await until_counted(2, status="started")
        # A task is reported before its command is spawned.
        await until(TaskOutput.objects.filter(task_id=ids[1]).aexists)
        fork_server = next(
            each
            for each in psutil.Process(process.pid).children()
            if "taskmaster.workers.daemon.fork_server.server" in each.cmdline()
        )
        fork_server.kill()
        assert await exit_code(process, 15) == 1
        assert process.stdout is not None
        output = process.stdout.read()
        assert "The fork server and its child processes died" in output
        assert "Traceback" not in output
        for marker in ("300.124", "300.125"):
            await until_gone(marker)
        for task_id in ids:
            # The task may have caused it, so the attempt counts.
            assert [error["class"] for error in (await until_finished(task_id)).errors] == [
                "signal"
            ]


async def test_a_shell_command_inherits_no_file_descriptors_of_its_worker() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        listing = await shell(["ls", "-l", "/proc/self/fd"])
        assert (await until_finished(listing)).status == "complete"
        [(_, text)] = await output(listing)
        assert "socket:" not in text
        assert text.count("pipe:") == 2, text


async def test_arguments_of_the_maximum_size_are_accepted_in_any_script() -> None:
    text = "漢" * 340_000
    async with coordinator() as address, worker(address, "--concurrency", "8"):
        ids = [await call("length", text) for _ in range(12)]
        for task_id in ids:
            assert (await until_finished(task_id)).result == 340_000


async def test_tasks_that_exceed_the_grace_period_are_released_in_time() -> None:
    async with coordinator() as address:
        process = run_worker(
            address, "--name", "heron", "--concurrency", "2", TASKMASTER_SHUTDOWN_GRACE_S="4"
        )
        await online("heron")
        ids = [await call("sleep", 300), await shell("sleep 300.321")]
        await until_counted(2, status="started")
        process.send_signal(signal.SIGTERM)
        assert await exit_code(process) == 0
        await until_counted(2, pk__in=ids, status="pending", attempt=0)


def alive(process: psutil.Process) -> bool:
    """Return whether it runs; a zombie does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_worker_accepts_only_tasks_of_its_queues() -> None:
    async with coordinator() as address, worker(address, "--queues", "mail,reports"):
        [other, own] = [await call("echo", 1, queue=queue) for queue in ("other", "reports")]
        assert (await until_finished(own)).result == 1
        await until_counted(1, pk=other, status="pending")


def test_the_error_for_a_wrong_option_is_printed_without_a_traceback() -> None:
    process = manage("runworker", "--executor", "eventlet")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "--executor is 'eventlet'; it must be one of process" in output
    assert "Traceback" not in output
