"""Reports are kept until a coordinator has confirmed them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
from grpc.aio import AioRpcError, Metadata

from proto import taskmaster_pb2 as pb
from tests.system.fleet import until
from tests.workers.daemon.sample import an_attempt
from workers.daemon.attempt import Attempt, Returned
from workers.daemon.output import Chunk
from workers.daemon.reports import Batch, Reports


class Coordinator:
    """The other end: keeps what it is sent; refuses while told to."""

    def __init__(self) -> None:
        self.updates: list[pb.StatusUpdate] = []
        self.refusals: list[grpc.StatusCode] = []
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, update: pb.StatusUpdate) -> pb.StatusReceipt:
        await self.open.wait()
        if self.refusals:
            raise AioRpcError(self.refusals.pop(0), Metadata(), Metadata(), "no")
        self.updates.append(update)
        return pb.StatusReceipt()


@asynccontextmanager
async def reporting() -> AsyncIterator[tuple[Reports, Coordinator]]:
    reports, coordinator = Reports("w"), Coordinator()
    sending = asyncio.create_task(reports.run(coordinator.take))
    try:
        yield reports, coordinator
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


def a_chunk(attempt: Attempt, seq: int, text: str = "x") -> Chunk:
    return Chunk(attempt, seq, "stdout", text, 0)


DONE = Returned(1, 2, "42")


async def test_a_start_and_an_end_that_meet_are_one_report() -> None:
    async with reporting() as (reports, coordinator):
        attempt = an_attempt()
        reports.started(attempt)
        reports.ended(attempt, DONE)
        await asyncio.wait_for(reports.settled.wait(), 5)
        [update] = coordinator.updates
        assert (len(update.started), [done.result for done in update.completed]) == (0, ["42"])
        assert update.now_us > 0


async def test_reports_are_sent_again_until_they_are_taken() -> None:
    async with reporting() as (reports, coordinator):
        coordinator.refusals = [grpc.StatusCode.UNAVAILABLE] * 2
        reports.ended(an_attempt(7), DONE)
        assert reports.unacknowledged_ends == [(7, 1)]
        await asyncio.wait_for(reports.settled.wait(), 10)
        assert [done.task_id for update in coordinator.updates for done in update.completed] == [7]
        assert reports.unacknowledged == 0


async def test_an_end_never_overtakes_the_output_before_it() -> None:
    async with reporting() as (reports, coordinator):
        coordinator.open.clear()
        attempt = an_attempt()
        reports.output(a_chunk(attempt, 0))
        await until(lambda: reports._in_flight)
        coordinator.refusals = [grpc.StatusCode.UNAVAILABLE]
        reports.ended(attempt, DONE)
        other = an_attempt(2)
        reports.ended(other, DONE)
        coordinator.open.set()
        await asyncio.wait_for(reports.settled.wait(), 10)
    order = []
    for update in coordinator.updates:
        order += [("output", chunk.task_id) for chunk in update.output]
        order += [("end", done.task_id) for done in update.completed]
    assert order.index(("output", 1)) < order.index(("end", 1))
    assert sorted(order) == [("end", 1), ("end", 2), ("output", 1)]


async def test_a_message_that_is_refused_is_halved_until_the_wrong_report_is_alone() -> None:
    async with reporting() as (reports, coordinator):
        coordinator.open.clear()
        coordinator.refusals = [grpc.StatusCode.INVALID_ARGUMENT] * 2
        for number in range(4):
            reports.ended(an_attempt(number), DONE)
        coordinator.open.set()
        await asyncio.wait_for(reports.settled.wait(), 10)
        taken = [done.task_id for update in coordinator.updates for done in update.completed]
    assert sorted(taken) == [0, 1, 2, 3]
    assert len(coordinator.updates) == 3


def test_halves_hold_the_same_reports() -> None:
    attempts = [an_attempt(number) for number in range(5)]
    batch = Batch(
        starts=attempts[:1],
        chunks=[a_chunk(attempts[1], 0)],
        ends=[(attempt, DONE) for attempt in attempts[2:]],
    )
    first, second = batch.halves()
    assert len(first) + len(second) == len(batch)
    assert abs(len(first) - len(second)) <= 1
    assert first.ends + second.ends == batch.ends
