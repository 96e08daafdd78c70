"""Test a real fork server with real children and commands."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers import python_process
from taskmaster.workers.daemon.fork_server.client import ForkServerClient, start_fork_server
from taskmaster.workers.daemon.messages import (
    CommandExit,
    FromChild,
    PrintedText,
    ProcessEnd,
    ProcessExit,
    RunTask,
    SpawnCommand,
    Succeeded,
)
from taskmaster.workers.daemon.slots.child import ChildConnection
from taskmaster.workers.daemon.slots.launcher import CommandEnd, LauncherConnection
from tests.waiting import until

MODULE = "tests.system.sample_tasks"


@asynccontextmanager
async def fork_server() -> AsyncIterator[ForkServerClient]:
    process, control = start_fork_server()
    client = ForkServerClient(process, control, "heron", lambda: None)
    try:
        await asyncio.wait_for(client.ready(), 60)
        yield client
    finally:
        client.close()
    assert process.returncode == 0


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", MODULE)
    # As `runworker` does before it executes the worker.
    monkeypatch.setenv("PYTHONPATH", python_process.environment(os.environ)["PYTHONPATH"])


def start(
    client: ForkServerClient, argv: list[str], cwd: str | None = None
) -> tuple[LauncherConnection, list[CommandEnd], int]:
    """Start a command. Return its launcher, its future end and the read end of its stdout."""
    reading, writing = os.pipe()
    ends: list[CommandEnd] = []
    launcher = LauncherConnection(client, lambda _: None)
    command = SpawnCommand(1, argv, cwd, dict(os.environ))
    launcher.run(command, writing, os.dup(writing), ends.append)
    return launcher, ends, reading


async def test_commands_run_and_their_ends_are_reported() -> None:
    async with fork_server() as client:
        launcher, printed, reading = start(client, ["/bin/sh", "-c", "pwd; exit 3"], "/")
        await until(lambda: printed)
        assert printed == [CommandExit(1, 3, False)]
        assert os.read(reading, 100) == b"/\n"
        assert launcher.usable
        launcher.close()
        await until(lambda: not client.pids)


async def test_a_killed_command_ends_with_its_descendants() -> None:
    async with fork_server() as client:
        launcher, ends, reading = start(client, ["/bin/sh", "-c", "sleep 60 & echo $!; wait"])
        descendant = int(await asyncio.to_thread(os.read, reading, 100))
        launcher.kill(1, 5.0)
        await until(lambda: ends)
        assert ends == [CommandExit(1, -signal.SIGTERM, False)]
        assert not psutil.pid_exists(descendant)


async def test_the_memory_of_a_command_counts_for_its_worker() -> None:
    async with fork_server() as client:
        _, _, reading = start(client, ["/bin/sh", "-c", "echo $$; exec sleep 60"])
        command = int(await asyncio.to_thread(os.read, reading, 100))
        assert (command, None) in client.measured()


async def test_a_killed_launcher_ends_with_its_command() -> None:
    async with fork_server() as client:
        launcher, ends, reading = start(
            client, ["/bin/sh", "-c", "setsid sh -c 'echo $$; exec sleep 60' & exec sleep 61"]
        )
        daemon = int(await asyncio.to_thread(os.read, reading, 100))
        os.kill(client.pids[launcher.id], signal.SIGKILL)
        await until(lambda: ends)
        assert ends == [ProcessExit(1, -signal.SIGKILL)]
        assert not psutil.pid_exists(daemon)


async def test_a_child_runs_tasks_and_reports_output_and_results() -> None:
    reports: list[FromChild] = []
    ends: list[ProcessEnd] = []
    written: list[tuple[str, bytes]] = []
    async with fork_server() as client:
        child = ChildConnection(
            client,
            "thread",
            2,
            lambda _, report: reports.append(report),
            lambda _, end: ends.append(end),
            lambda _, stream, data: bool(written.append((stream, data))),
        )
        child.send([RunTask(1, f"{MODULE}.echo", '["löwe"]', "", 7, 1, 0, "default", 0)])
        await until(lambda: reports, 60)
        child.send([RunTask(2, f"{MODULE}.print_and_raise", "", "", 8, 1, 0, "default", 0)])
        await until(lambda: len(reports) >= 5)
        child.kill(0)
        await until(lambda: ends)
    [succeeded] = [each for each in reports if isinstance(each, Succeeded)]
    assert (succeeded.id, succeeded.result) == (1, '"löwe"')
    assert succeeded.started_at_us <= succeeded.finished_at_us
    output = {each.stream: each.text for each in reports if isinstance(each, PrintedText)}
    assert output == {
        "stdout": "to stdout\n",
        "stderr": "to stderr\n",
        "log": f"WARNING {MODULE}: to the log\n",
    }
    assert isinstance(ends[0], ProcessExit)
    assert ends[0].code == -signal.SIGKILL


async def test_a_fork_server_without_its_task_modules_states_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", "no.such.module")
    process, control = start_fork_server()
    client = ForkServerClient(process, control, "heron", lambda: None)
    with pytest.raises(ConfigurationError, match=r"no\.such\.module cannot be imported"):
        await asyncio.wait_for(client.ready(), 60)
    client.close()
    assert process.returncode == 1


async def test_all_processes_end_with_the_connection_of_the_supervisor() -> None:
    async with fork_server() as client:
        _, _, reading = start(client, ["/bin/sh", "-c", "setsid sleep 60 & echo $!; exec sleep 61"])
        daemon = int(await asyncio.to_thread(os.read, reading, 100))
    await until(lambda: not psutil.pid_exists(daemon))
    os.close(reading)
