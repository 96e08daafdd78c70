"""Test that reports are kept until a coordinator has confirmed them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
from grpc.aio import AioRpcError, Metadata

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.messages import Succeeded
from taskmaster.workers.daemon.output import CapturedChunk
from tests.waiting import until
from tests.workers.daemon.sample import an_attempt


class Coordinator:
    """Receive reports and keep them, or refuse them as configured."""

    def __init__(self) -> None:
        self.updates: list[pb.StatusUpdate] = []
        self.refusals: list[grpc.StatusCode] = []
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, update: pb.StatusUpdate) -> pb.StatusAcknowledgement:
        await self.open.wait()
        if self.refusals:
            raise AioRpcError(self.refusals.pop(0), Metadata(), Metadata(), "no")
        self.updates.append(update)
        return pb.StatusAcknowledgement()


@asynccontextmanager
async def reporting() -> AsyncIterator[tuple[ReportQueue, Coordinator]]:
    reports, coordinator = ReportQueue("w"), Coordinator()
    sending = asyncio.create_task(reports.run(coordinator.take))
    try:
        yield reports, coordinator
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


def a_chunk(seq: int, text: str = "x") -> CapturedChunk:
    return CapturedChunk(seq, "stdout", text, 0)


DONE = Succeeded(1, 1, 2, "42")


async def test_a_start_and_an_end_of_one_attempt_are_combined() -> None:
    async with reporting() as (reports, coordinator):
        attempt = an_attempt()
        reports.add_start(attempt)
        reports.add_end(attempt, DONE)
        await asyncio.wait_for(reports.all_acknowledged.wait(), 5)
        [update] = coordinator.updates
        assert (len(update.started), [done.result for done in update.completed]) == (0, ["42"])
        assert update.now_us > 0


async def test_reports_are_resent_until_they_are_accepted() -> None:
    async with reporting() as (reports, coordinator):
        coordinator.refusals = [grpc.StatusCode.UNAVAILABLE] * 2
        reports.add_end(an_attempt(7), DONE)
        assert [each.key for each in reports.unacknowledged_ends] == [(7, 1)]
        await asyncio.wait_for(reports.all_acknowledged.wait(), 10)
        assert [done.task_id for update in coordinator.updates for done in update.completed] == [7]
        assert reports.unacknowledged == 0


async def test_an_end_is_never_sent_before_its_output() -> None:
    async with reporting() as (reports, coordinator):
        coordinator.open.clear()
        attempt = an_attempt()
        reports.add_output(attempt, a_chunk(0))
        await until(lambda: reports._unanswered)
        coordinator.refusals = [grpc.StatusCode.UNAVAILABLE]
        reports.add_end(attempt, DONE)
        other = an_attempt(2)
        reports.add_end(other, DONE)
        coordinator.open.set()
        await asyncio.wait_for(reports.all_acknowledged.wait(), 10)
    order = []
    for update in coordinator.updates:
        order += [("output", chunk.task_id) for chunk in update.output]
        order += [("end", done.task_id) for done in update.completed]
    assert order.index(("output", 1)) < order.index(("end", 1))
    assert sorted(order) == [("end", 1), ("end", 2), ("output", 1)]


async def test_a_refused_message_is_bisected_until_the_invalid_report_is_isolated() -> None:
    async with reporting() as (reports, coordinator):
        coordinator.open.clear()
        coordinator.refusals = [grpc.StatusCode.INVALID_ARGUMENT] * 2
        for number in range(4):
            reports.add_end(an_attempt(number), DONE)
        coordinator.open.set()
        await asyncio.wait_for(reports.all_acknowledged.wait(), 10)
        taken = [done.task_id for update in coordinator.updates for done in update.completed]
    assert sorted(taken) == [0, 1, 2, 3]
    assert len(coordinator.updates) == 3
