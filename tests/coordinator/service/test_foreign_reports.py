"""What is not the worker's own it can neither report nor adopt."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from proto import taskmaster_pb2 as pb
from tasks.models import Task, TaskOutput
from tests.coordinator.service.intruder import KINDS, Intruder, intruder, report, rows
from tests.coordinator.service.watched import said_once, store
from tests.system.fleet import WireWorker, coordinator, until, until_counted
from tests.system.programs import Program
from tests.tasks.sample import in_s

pytestmark = pytest.mark.django_db(transaction=True)

INT32, INT64 = 2**31 - 1, 2**63 - 1


async def test_a_worker_cannot_report_what_it_was_not_given(
    address: str, mallory: Intruder, honest: WireWorker, program: Program
) -> None:
    async with (
        WireWorker(address, queues=("default",)).running() as victim,
        WireWorker(address, queues=("silent",)).running() as silent,
    ):
        victim.holding, silent.silent = True, True
        [accepted] = await store(max_attempts=3)
        await until_counted(1, pk=accepted, status="started")
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        [pending] = await store(queue="nobody-s-too")
        targets = {"accepted": accepted, "held": held, "pending": pending, "unknown": INT64}
        before = await rows()
        for name, task_id in targets.items():
            for lease in (1, 2, 0x7FFF_FFFF_FFFF):
                for kind in KINDS:
                    receipt = await mallory.update(**report(kind, task_id, lease, 1))
                    told = [(each.task_id, each.lease) for each in receipt.stale]
                    assert told == [(task_id, lease)], (name, kind)
        # What it says that it runs is no more believed.
        named = [pb.Execution(task_id=each, lease=1) for each in targets.values()]
        reply = await mallory.beat(running=named)
        assert {each.task_id for each in reply.stale} >= {pending, INT64}
        assert await rows() == before
        # An offer that its worker has not answered yet is not another's to answer.
        [offered] = await store(queue="silent")
        await until(lambda: silent.offers)
        for kind in KINDS:
            receipt = await mallory.update(**report(kind, offered, 1, 1))
            assert [each.task_id for each in receipt.stale] == [offered], kind
        receipt = await silent.complete([silent.offers[0][1]])
        assert not receipt.stale
        assert not (await victim.complete([victim.offers[0][1]])).stale
    finished = Task.objects.filter(pk__in=[accepted, offered]).values_list("result", flat=True)
    assert [result async for result in finished] == [1, 1]
    assert await TaskOutput.objects.acount() == 0
    said_once(program, "the execution is not this worker's")


async def test_a_worker_cannot_adopt_what_it_was_not_given(
    address: str, honest: WireWorker
) -> None:
    async with WireWorker(address).running() as victim:
        victim.holding = True
        [accepted] = await store(max_attempts=3)
        await until_counted(1, pk=accepted, status="started")
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        before = (
            await Task.objects.filter(pk__in=[accepted, held])
            .order_by("id")
            .values()
            .aget(pk=accepted),
            await Task.objects.values().aget(pk=held),
        )
        async with grpc.aio.insecure_channel(address) as channel:
            thief = Intruder(channel)
            running = [pb.Execution(task_id=each, lease=1) for each in (accepted, held)]
            stream = thief.stub.ReceiveTasks(thief.hello(running=running))
            welcomed, stale = set(), set()
            async with asyncio.timeout(10):
                while stale != {accepted, held}:
                    message = await stream.read()
                    welcomed.add(message.WhichOneof("message"))
                    stale |= {each.task_id for each in message.stale.executions}
            stream.cancel()
        after = (
            await Task.objects.values().aget(pk=accepted),
            await Task.objects.values().aget(pk=held),
        )
        assert after == before
        assert not (await victim.complete([victim.offers[0][1]])).stale
        assert not victim.stale


async def test_a_worker_cannot_report_what_another_coordinator_gave_away() -> None:
    async with coordinator() as first, coordinator() as second, intruder(second) as mallory:
        async with WireWorker(first).running() as victim:
            victim.holding = True
            [accepted] = await store(max_attempts=3)
            await until_counted(1, pk=accepted, status="started")
            [held] = await store(scheduled_at=in_s(25))
            await until_counted(1, pk=held, status="picked")
            before = await rows()
            for task_id in (accepted, held):
                for kind in KINDS:
                    receipt = await mallory.update(**report(kind, task_id, 1, 1))
                    assert [each.task_id for each in receipt.stale] == [task_id], kind
            assert await rows() == before
            assert not (await victim.complete([victim.offers[0][1]])).stale
            await until_counted(1, pk=accepted, status="complete")
        await Task.objects.all().adelete()


async def test_the_number_of_an_attempt_is_what_was_offered(address: str) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        before = await rows()
        for kind in ("started", "completed", "failed", "output"):
            for attempt in (2, 3, INT32):
                receipt = await worker.send(**report(kind, task_id, 1, attempt))
                assert [each.task_id for each in receipt.stale] == [task_id]
        assert await rows() == before
        assert not (await worker.complete([worker.offers[0][1]])).stale


async def test_an_older_lease_is_stale_also_beside_its_successor(address: str) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        await worker.send(**report("failed", task_id, 1, 1, retry_after_s=0.0))
        await until_counted(1, pk=task_id, status="started", lease=2)
        # Both in one heartbeat, and both in one flush.
        both = [pb.Execution(task_id=task_id, lease=lease) for lease in (1, 2)]
        reply = await worker.beat(running=both)
        assert [(each.task_id, each.lease) for each in reply.stale] == [(task_id, 1)]
        receipts = await asyncio.gather(
            *(worker.send(**report("started", task_id, lease, lease)) for lease in (1, 2))
        )
        assert [len(receipt.stale) for receipt in receipts] == [1, 0]
        # Two heartbeats that meet have each the answer to what it says.
        replies = await asyncio.gather(worker.beat(running=both[1:]), worker.beat(running=both[:1]))
        assert [len(reply.stale) for reply in replies] == [0, 1]
        await worker.complete([worker.offers[-1][1]])
