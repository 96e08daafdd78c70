"""Test the shutdown of a worker: its running tasks, its reports and its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.messages import ProcessExit, Succeeded
from taskmaster.workers.daemon.shutdown import ForkServerLost, Shutdown
from taskmaster.workers.daemon.slots.process import ProcessSlots
from tests.waiting import until
from tests.workers.daemon.connection.service import Service, Worker, coordinator
from tests.workers.daemon.slots.server import Server

#: No test waits until this grace has passed.
LONG_S = 600.0
DEADLINE_S = 30.0
#: Nothing listens on this port.
UNREACHABLE = "127.0.0.1:1"


class KillingServer(Server):
    """Report the exit of each child that is killed."""

    def kill(self, number: int, grace_s: float) -> None:
        super().kill(number, grace_s)
        child, end = self.children[number - 1], ProcessExit(number, -9, oom=False)
        asyncio.get_running_loop().call_soon(child._on_exit, child, end)


class Bench:
    """Hold a worker whose session runs, with slots on a fork server without processes."""

    def __init__(self, address: str) -> None:
        self.worker = Worker(address)
        self.scheduler, self.reports = self.worker.scheduler, self.worker.reports
        self.server: Any = KillingServer()
        ways = (self.scheduler.ended, self.scheduler.add_output)
        self.slots = ProcessSlots(self.server, 2, *ways)
        names = frozenset({"some.task"})
        self.scheduler.open_slots(self.slots, self.scheduler._shell, names)
        self.immediate = asyncio.Event()
        self.session = asyncio.create_task(self.worker.session.run())
        self.sending = asyncio.create_task(self.reports.run(self.worker.session.send))

    def begin(self) -> None:
        """Begin an attempt of task 7."""
        self.scheduler.offer([pb.Offer(task_id=7, lease=1, attempt=1, name="some.task")])

    def succeed(self) -> None:
        """Report from its child that the task has returned."""
        [attempt] = self.scheduler._running.values()
        [child] = [each for each in self.server.children if attempt.id in each.attempts]
        child._on_report(child, Succeeded(attempt.id, 1, 2, "42"))

    async def stop(self, grace_s: float, *, fork_server_lost: bool = False) -> int:
        shutdown = Shutdown(
            "heron", self.scheduler, self.reports, self.worker.session, self.immediate
        )
        return await asyncio.wait_for(
            shutdown.run(self.session, self.slots, grace_s, fork_server_lost=fork_server_lost),
            DEADLINE_S,
        )


@asynccontextmanager
async def bench(address: str) -> AsyncIterator[Bench]:
    made = Bench(address)
    try:
        yield made
    finally:
        for task in (made.session, made.sending):
            task.cancel()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Bench, Service]]:
    async with coordinator() as (service, address), bench(address) as made:
        await until(lambda: service.heartbeats)
        yield made, service


async def test_a_running_task_may_finish_within_the_grace() -> None:
    async with connected() as (made, service):
        made.begin()
        stopping = asyncio.create_task(made.stop(LONG_S))
        await until(lambda: any(each.draining for each in service.heartbeats))
        assert not stopping.done()
        made.succeed()
        assert await stopping == 0
        assert made.session.done()
        completed = [done.task_id for update in service.updates for done in update.completed]
        assert completed == [7]
        last = service.heartbeats[-1]
        assert (last.tasks_done, last.busy, last.leaving) == (1, 0, True)
        assert not service.heartbeats[0].leaving


async def test_a_task_that_outlasts_the_grace_is_handed_back() -> None:
    async with connected() as (made, service):
        made.begin()
        assert await made.stop(0.0) == 0
        declined = [each.task_id for update in service.updates for each in update.declined]
        assert declined == [7]


async def test_a_second_signal_ends_the_grace() -> None:
    async with connected() as (made, service):
        made.begin()
        stopping = asyncio.create_task(made.stop(LONG_S))
        await until(lambda: any(each.draining for each in service.heartbeats))
        made.immediate.set()
        assert await stopping == 1
        declined = [each.task_id for update in service.updates for each in update.declined]
        assert declined == [7]


async def test_lost_reports_are_an_error() -> None:
    async with bench(UNREACHABLE) as made:
        made.begin()
        made.succeed()
        assert await made.stop(0.0) == 1
        assert made.reports.unacknowledged == 1


async def test_the_death_of_the_fork_server_is_an_error() -> None:
    async with connected() as (made, _):
        with pytest.raises(ForkServerLost, match="child processes died"):
            await made.stop(LONG_S, fork_server_lost=True)
        assert made.session.done()
