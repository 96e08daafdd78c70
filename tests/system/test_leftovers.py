"""Test that everything that an attempt started ends with it, on every way to its end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest

from tests.system.fleet import coordinator
from tests.system.test_coordinators import cancel
from tests.system.workers import call, online, processes, run_worker, shell, until_gone, worker
from tests.waiting import until, until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)


def daemon(marker: str, then: str = "true") -> str:
    """Return a script that starts a process in a new session, whose parents end."""
    return f"(setsid sh -c 'sleep {marker} & exit' >/dev/null 2>&1 &); sleep 0.2; {then}"


async def until_running(*markers: str) -> None:
    """Wait until there is a process with each of these arguments."""
    for marker in markers:
        await until(lambda marker=marker: processes(marker))  # type: ignore[misc]


async def test_daemons_end_before_the_end_of_their_attempt_is_reported() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "1"):
        for number in range(3):
            command = await until_finished(await shell(daemon(f"300.40{number}", "exit 0")))
            assert command.result == {"exit_code": 0}
            python = await until_finished(await call("start_daemon", f"300.41{number}", 0.2))
            assert python.status == "complete"
            assert not processes(f"300.40{number}")
            assert not processes(f"300.41{number}")
        failed = await until_finished(await shell(daemon("300.409", "exit 3")))
        assert [error["code"] for error in failed.errors] == [3]
        assert not processes("300.409")


async def test_only_a_child_whose_task_left_processes_is_replaced() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "1"):
        first = (await until_finished(await call("pid"))).result
        assert (await until_finished(await call("pid"))).result == first
        assert (await until_finished(await call("start_daemon", "300.421", 0))).result == first
        second = (await until_finished(await call("pid"))).result
        assert second != first
        assert (await until_finished(await call("pid"))).result == second


async def test_the_exit_codes_of_a_task_s_own_processes_reach_it() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "1"):
        for _ in range(2):
            task = await until_finished(await call("exit_codes_of_processes", "300.431"))
            assert task.result == [-signal.SIGTERM, 7, 8], task.errors
            assert not processes("300.431")


async def test_daemons_end_with_a_time_out() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        ids = [
            await call("start_daemon", "300.441", 60, timeout_s=1.0),
            await shell(daemon("300.442", "sleep 60"), timeout_s=1.0),
        ]
        await until_running("300.441", "300.442")
        for task_id in ids:
            assert [e["class"] for e in (await until_finished(task_id)).errors] == ["timeout"]
        assert not processes("300.441")
        assert not processes("300.442")


async def test_daemons_end_with_a_cancellation() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        ids = [
            await call("start_daemon", "300.451", 60),
            await shell(daemon("300.452", "sleep 60")),
        ]
        await until_running("300.451", "300.452")
        for task_id in ids:
            await cancel(task_id)
        await until_gone("300.451")
        await until_gone("300.452")


async def test_daemons_end_with_a_killed_child() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "1") as process:
        task_id = await call("start_daemon", "300.461", 60)
        await until_running("300.461")
        [child] = psutil.Process(fork_server(process).pid).children()
        child.kill()
        assert [e["class"] for e in (await until_finished(task_id)).errors] == ["signal"]
        assert not processes("300.461")


def fork_server(worker: subprocess.Popen[str]) -> psutil.Process:
    [found] = psutil.Process(worker.pid).children()
    return found


def kill_supervisor(worker: subprocess.Popen[str]) -> None:
    worker.kill()


def kill_fork_server(worker: subprocess.Popen[str]) -> None:
    fork_server(worker).kill()


@pytest.mark.parametrize("kill", [kill_supervisor, kill_fork_server])
async def test_daemons_end_with_a_killed_worker(
    kill: Callable[[subprocess.Popen[str]], None],
) -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "2")
        await online("heron")
        await call("start_daemon", "300.471", 60)
        await shell(daemon("300.472", "sleep 60"))
        await until_running("300.471", "300.472")
        kill(process)
        await until_gone("300.471")
        await until_gone("300.472")
        assert await asyncio.to_thread(process.wait, 15) != 0


async def test_the_daemon_of_a_command_ends_when_the_whole_worker_is_killed() -> None:
    async with coordinator() as address:
        process = run_worker(address, "--name", "heron", "--concurrency", "2")
        await online("heron")
        await shell(daemon("300.481", "sleep 60"))
        await until_running("300.481")
        both = [psutil.Process(process.pid), fork_server(process)]
        for each in both:
            each.suspend()
        for each in both:
            each.kill()
        await until_gone("300.481")
        await asyncio.to_thread(process.wait, 15)


@pytest.mark.parametrize("executor", [pytest.param("thread", marks=pytest.mark.long), "async"])
async def test_a_command_of_a_worker_with_a_shared_child_ends_with_its_daemons(
    executor: str,
) -> None:
    options = ("--executor", executor, "--concurrency", "2")
    async with coordinator() as address, worker(address, *options):
        await until_finished(await shell(daemon("300.491")))
        assert not processes("300.491")
        await until_counted(1, status="complete")
