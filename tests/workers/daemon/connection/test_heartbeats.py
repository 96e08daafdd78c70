"""Test heartbeats with a real gRPC server on this host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.workers.daemon.connection.contact_deadline import ContactDeadline
from taskmaster.workers.daemon.connection.heartbeats import HeartbeatLoop
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.resources.usage import UsageMeter
from taskmaster.workers.daemon.scheduler import AttemptScheduler
from tests.waiting import until

WELCOME = pb.Welcome(heartbeat_interval_ms=5_000, accept_timeout_ms=2_000, lost_contact_ms=12_000)
#: No test waits for the next heartbeat of this interval.
LONG_S = 60.0
DEADLINE_S = 30.0


class Coordinator(rpc.WorkerServiceServicer):
    """Answer heartbeats and keep them. Refuse those for which `refusals` holds True."""

    def __init__(self) -> None:
        self.received: list[pb.Heartbeat] = []
        self.refusals: list[bool] = []
        self.reply = pb.HeartbeatReply()

    async def SendHeartbeat(self, request: pb.Heartbeat, context: Any) -> Any:  # noqa: N802
        self.received.append(request)
        if self.refusals and self.refusals.pop(0):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        return self.reply


class Worker:
    """Hold a heartbeat loop with the parts that it uses, on a clock of the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lost: list[float] = []
        self.replies: list[pb.HeartbeatReply] = []
        self.scheduler = AttemptScheduler(3, ReportQueue("heron"))
        self.deadline = ContactDeadline(self.clock, lambda: self.lost.append(self.now))
        self.deadline.welcomed(0.0, WELCOME)
        self.loop = HeartbeatLoop(
            "heron",
            self.scheduler,
            UsageMeter(list),
            self.deadline,
            (),
            self.clock,
            unfinished=lambda: [pb.Execution(task_id=7, lease=2)],
            on_reply=self.replies.append,
        )

    def clock(self) -> float:
        return self.now


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Worker, Coordinator, rpc.WorkerServiceAsyncStub]]:
    coordinator, server = Coordinator(), grpc.aio.server()
    rpc.add_WorkerServiceServicer_to_server(coordinator, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Worker(), coordinator, rpc.WorkerServiceStub(channel)
    finally:
        await server.stop(None)


@contextmanager
def running(worker: Worker, stub: rpc.WorkerServiceAsyncStub, interval_s: float) -> Iterator[None]:
    task = asyncio.create_task(worker.loop.run(stub, interval_s))
    try:
        yield
    finally:
        task.cancel()


async def test_a_heartbeat_describes_the_worker() -> None:
    async with connected() as (worker, coordinator, stub):
        worker.scheduler.done, worker.scheduler.failed = 5, 1
        worker.scheduler.draining = True
        with running(worker, stub, LONG_S):
            await until(lambda: worker.replies)
    [heartbeat] = coordinator.received
    assert heartbeat.worker_id == "heron"
    assert (heartbeat.slots, heartbeat.busy, heartbeat.draining) == (3, 0, True)
    assert (heartbeat.tasks_done, heartbeat.tasks_failed) == (5, 1)
    assert list(heartbeat.running) == [pb.Execution(task_id=7, lease=2)]
    assert heartbeat.rss_bytes > 0


async def test_a_request_sends_the_next_heartbeat_before_the_interval_has_passed() -> None:
    async with connected() as (worker, coordinator, stub):
        with running(worker, stub, LONG_S):
            await until(lambda: worker.replies)
            worker.scheduler.draining = True
            worker.loop.send_now()
            await until(lambda: len(worker.replies) == 2)
    assert [each.draining for each in coordinator.received] == [False, True]


async def test_the_last_heartbeat_has_the_final_figures_and_says_that_the_worker_leaves() -> None:
    async with connected() as (worker, coordinator, stub):
        worker.scheduler.done, worker.scheduler.failed = 4, 1
        await worker.loop.send_last(stub, DEADLINE_S)
        [last] = coordinator.received
        assert (last.tasks_done, last.tasks_failed, last.leaving) == (4, 1, True)
        coordinator.refusals = [True]
        await worker.loop.send_last(stub, DEADLINE_S)
    assert len(coordinator.received) == 2


async def test_only_consecutive_failures_end_the_loop() -> None:
    async with connected() as (worker, coordinator, stub):
        coordinator.refusals = [True, False, True, True, False]

        def clock() -> float:
            # The interval has always passed, so that the test does not wait for it.
            worker.now += LONG_S
            return worker.now

        worker.loop._clock = clock
        await asyncio.wait_for(worker.loop.run(stub, LONG_S), DEADLINE_S)
    assert len(coordinator.received) == 4
    assert len(worker.replies) == 1


async def test_the_loop_ends_when_the_coordinator_does_not_know_the_worker() -> None:
    async with connected() as (worker, coordinator, stub):
        coordinator.reply = pb.HeartbeatReply(unknown_worker=True)
        await asyncio.wait_for(worker.loop.run(stub, LONG_S), DEADLINE_S)
    assert len(coordinator.received) == 1
    assert [each.unknown_worker for each in worker.replies] == [True]


async def test_only_a_recorded_heartbeat_extends_the_contact() -> None:
    async with connected() as (worker, coordinator, stub):
        worker.now = 11.0
        coordinator.reply = pb.HeartbeatReply(unwritten=True)
        with running(worker, stub, LONG_S):
            await until(lambda: worker.replies)
            worker.now = 13.0
            assert not worker.deadline.overdue
            watching = asyncio.create_task(worker.deadline.watch())
            await until(lambda: worker.lost)
            coordinator.reply = pb.HeartbeatReply()
            worker.loop.send_now()
            await until(lambda: len(worker.replies) == 2)
            watching.cancel()
        worker.lost.clear()
        watching = asyncio.create_task(worker.deadline.watch())
        # The first check runs as soon as the task starts.
        await asyncio.sleep(0)
        assert not worker.lost
        watching.cancel()
