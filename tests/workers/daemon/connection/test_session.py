"""Test a session with real gRPC servers on this host."""

from __future__ import annotations

import asyncio

import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.errors import ConfigurationError
from tests.waiting import until
from tests.workers.daemon.connection.service import (
    Worker,
    coordinator,
    worker,
)


async def test_a_worker_registers_sends_heartbeats_and_receives_commands() -> None:
    async with coordinator() as (service, address), worker(address) as heron:
        await until(lambda: len(service.heartbeats) > 1)
        [hello] = service.hellos
        assert (hello.name, list(hello.queues), hello.executor, hello.slots) == (
            "heron", ["mail"], "process", 2,
        )  # fmt: skip
        assert service.heartbeats[0].rss_bytes > 0
        assert heron.commands[0] == "undrain"
        await service.send.put(pb.CoordinatorMessage(stop=pb.Stop()))
        await until(lambda: "stop" in heron.commands)
        service.reply = pb.HeartbeatReply(drain=True)
        await until(lambda: "drain" in heron.commands)


async def test_offers_of_a_draining_worker_are_declined_through_the_session() -> None:
    async with coordinator() as (service, address), worker(address) as heron:
        sending = asyncio.create_task(heron.reports.run(heron.session.send))
        heron.scheduler.draining = True
        offers = pb.Offers(offers=[pb.Offer(task_id=7, lease=1, attempt=1, name="some.task")])
        await service.send.put(pb.CoordinatorMessage(offers=offers))
        await until(lambda: service.updates)
        assert [(each.task_id, each.lease) for each in service.updates[0].declined] == [(7, 1)]
        sending.cancel()


async def test_a_worker_that_its_coordinator_does_not_know_connects_to_the_next_one() -> None:
    async with (
        coordinator() as (first, first_address),
        coordinator() as (second, second_address),
        worker(first_address, second_address),
    ):
        await until(lambda: first.hellos)
        first.reply = pb.HeartbeatReply(unknown_worker=True)
        await until(lambda: second.hellos)
    assert first.hellos[0].worker_id == second.hellos[0].worker_id


async def test_a_refused_worker_ends_with_the_reason() -> None:
    async with coordinator() as (service, address):
        service.refusal = "queues: too many."
        with pytest.raises(ConfigurationError, match=r"refused this worker: queues: too many\."):
            await asyncio.wait_for(Worker(address).session.run(), 10)
