"""Test that a worker can neither report nor adopt executions of other workers."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.models import Task, TaskOutput
from tests.coordinator.rpc.intruder import KINDS, Intruder, intruder, report, rows
from tests.coordinator.rpc.watched import logged_once, store
from tests.factories import in_s
from tests.system.fleet import WireWorker, coordinator
from tests.system.programs import Program
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)

INT32, INT64 = 2**31 - 1, 2**63 - 1


async def test_a_worker_cannot_report_executions_of_others(
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
        [pending] = await store(queue="unserved-too")
        targets = {"accepted": accepted, "held": held, "pending": pending, "unknown": INT64}
        before = await rows()
        for name, task_id in targets.items():
            for lease in (1, 2, 0x7FFF_FFFF_FFFF):
                for kind in KINDS:
                    receipt = await mallory.update(**report(kind, task_id, lease, 1))
                    refused = [(each.task_id, each.lease) for each in receipt.stale]
                    assert refused == [(task_id, lease)], (name, kind)
        # Executions that it lists as running are stale too.
        listed = [pb.Execution(task_id=each, lease=1) for each in targets.values()]
        reply = await mallory.beat(running=listed)
        assert {each.task_id for each in reply.stale} >= {pending, INT64}
        assert await rows() == before
        # An offer that its worker has not accepted yet belongs to that worker.
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
    logged_once(program, "report refused: it has no valid token of its offer")


async def test_a_worker_cannot_adopt_executions_of_others(address: str, honest: WireWorker) -> None:
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


async def test_a_worker_cannot_report_executions_of_another_coordinator() -> None:
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


async def test_a_worker_cannot_adopt_what_another_coordinator_has_offered() -> None:
    async with coordinator() as first, coordinator() as second:
        async with WireWorker(first).running() as victim:
            victim.silent = True
            [offered] = await store(max_attempts=3)
            await until(lambda: victim.offers)
            [held] = await store(scheduled_at=in_s(25))
            await until_counted(1, pk=held, status="picked")
            token = victim.offers[0][1].token
            async with grpc.aio.insecure_channel(second) as channel:
                thief = Intruder(channel)
                # The token of another worker's offer is as useless as none.
                running = [
                    pb.Execution(task_id=offered, lease=1, token=token),
                    pb.Execution(task_id=held, lease=1),
                ]
                stream = thief.stub.ReceiveTasks(thief.hello(running=running))
                stale: set[int] = set()
                async with asyncio.timeout(10):
                    while stale != {offered, held}:
                        message = await stream.read()
                        stale |= {each.task_id for each in message.stale.executions}
                stream.cancel()
            stolen = Task.objects.filter(pk__in=[offered, held], worker_id=thief.id)
            assert await stolen.acount() == 0
            assert await Task.objects.filter(pk=held, status="picked").aexists()
        await Task.objects.all().adelete()


async def test_a_report_with_another_attempt_number_is_stale(address: str) -> None:
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


async def test_an_older_lease_is_stale_in_the_same_flush_as_its_successor(address: str) -> None:
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
        # Two heartbeats in the same batch each get the answer for the leases that they list.
        replies = await asyncio.gather(worker.beat(running=both[1:]), worker.beat(running=both[:1]))
        assert [len(reply.stale) for reply in replies] == [0, 1]
        await worker.complete([worker.offers[-1][1]])
