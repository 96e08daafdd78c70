"""Test a whole worker with a real fork server and a real gRPC server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers import python_process
from taskmaster.workers.daemon.fork_server.client import start_fork_server
from taskmaster.workers.daemon.options import WorkerOptions
from taskmaster.workers.daemon.shutdown import ForkServerLost
from taskmaster.workers.daemon.supervisor import Supervisor
from tests.waiting import until
from tests.workers.daemon.connection.service import Service, coordinator

MODULE = "tests.system.sample_tasks"
DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", MODULE)
    # As `runworker` does before it executes the worker.
    monkeypatch.setenv("PYTHONPATH", python_process.environment(os.environ)["PYTHONPATH"])


def a_supervisor(address: str) -> Supervisor:
    options = WorkerOptions("heron", (address,), ("mail",), "process", 1)
    return Supervisor(options, Settings(), *start_fork_server())


@asynccontextmanager
async def worker() -> AsyncIterator[tuple[Supervisor, asyncio.Task[int], Service]]:
    """Run a worker until it is connected. Yield it, the task that runs it, and its coordinator."""
    async with coordinator() as (service, address):
        supervisor = a_supervisor(address)
        running = asyncio.create_task(supervisor.run())
        try:
            await until(lambda: service.heartbeats or running.done(), DEADLINE_S)
            yield supervisor, running, service
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def offer(service: Service, task: str, args: str) -> None:
    one = pb.Offer(task_id=7, lease=1, attempt=1, name=f"{MODULE}.{task}", args=args)
    await service.send.put(pb.CoordinatorMessage(offers=pb.Offers(offers=[one])))


async def exit_code(running: asyncio.Task[int]) -> int:
    return await asyncio.wait_for(asyncio.shield(running), DEADLINE_S)


async def test_a_worker_executes_a_task_and_stops_on_command() -> None:
    async with worker() as (_, running, service):
        await offer(service, "echo", '["x"]')
        await until(lambda: any(each.completed for each in service.updates), DEADLINE_S)
        await service.send.put(pb.CoordinatorMessage(stop=pb.Stop()))
        assert await exit_code(running) == 0
    [result] = [done.result for update in service.updates for done in update.completed]
    assert result == '"x"'


async def test_the_second_signal_stops_the_worker_without_the_grace() -> None:
    async with worker() as (supervisor, running, service):
        await offer(service, "sleep", "[600]")
        await until(lambda: supervisor.scheduler.running)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: supervisor.scheduler.draining)
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await exit_code(running) == 1
    assert [each.task_id for update in service.updates for each in update.declined] == [7]


async def test_a_draining_worker_exits_when_it_is_idle_and_can_be_undrained_until_then() -> None:
    async with worker() as (supervisor, running, service):
        await offer(service, "sleep", "[600]")
        await until(lambda: supervisor.scheduler.running)
        service.reply = pb.HeartbeatReply(drain=True)
        await until(lambda: any(each.draining for each in service.heartbeats), DEADLINE_S)
        service.reply = pb.HeartbeatReply()
        await until(lambda: not supervisor.scheduler.draining)
        service.reply = pb.HeartbeatReply(drain=True)
        await until(lambda: supervisor.scheduler.draining)
        assert not running.done()
        supervisor.scheduler.cancel([pb.Execution(task_id=7, lease=1)])
        assert await exit_code(running) == 0


async def test_the_death_of_the_fork_server_stops_the_worker() -> None:
    async with worker() as (supervisor, running, _):
        os.kill(supervisor.fork_server.pid, signal.SIGKILL)
        with pytest.raises(ForkServerLost):
            await exit_code(running)


async def test_a_missing_task_module_is_reported_before_the_worker_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", "no.such.module")
    async with worker() as (_, running, service):
        with pytest.raises(ConfigurationError, match=r"no\.such\.module cannot be imported"):
            await exit_code(running)
    assert not service.hellos
