"""Test that bulks are stored in the order of their stream, all or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from tests.coordinator.rpc.task_service.client import (
    ADD,
    BULK_MAX,
    DEADLINE_S,
    Client,
    Code,
    refused,
    sums,
)
from tests.system.fleet import acount

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_bulk_is_stored_in_the_order_of_its_stream(client: Client) -> None:
    ids = await client.submit_many(sums(10, 11), [], sums(12), sums(13, 14))
    assert len(ids) == BULK_MAX
    found = [(await client.get(task_id)).args_json for task_id in ids]
    assert found == ["[10,1]", "[11,1]", "[12,1]", "[13,1]", "[14,1]"]
    assert await acount(created_by__isnull=False) == BULK_MAX


async def test_an_empty_bulk_and_one_above_the_limit_are_refused(client: Client) -> None:
    for chunks, rule in (
        ([], "tasks: must contain at least one task."),
        ([[], []], "tasks: must contain at least one task."),
        ([sums(*range(6))], "tasks: has more than 5 tasks, the limit per submission."),
        (
            [sums(1, 2, 3), sums(4, 5), sums(6)],
            "tasks: has more than 5 tasks, the limit per submission.",
        ),
    ):
        assert await refused(client.submit_many(*chunks), Code.INVALID_ARGUMENT) == rule
    assert await acount() == 0


async def test_a_bulk_whose_client_goes_away_stores_nothing(client: Client) -> None:
    for _ in range(20):
        reached = asyncio.Event()

        async def requests(reached: asyncio.Event) -> AsyncIterator[pb.SubmitTasksRequest]:
            yield pb.SubmitTasksRequest(tasks=sums(1, 2))
            reached.set()
            await asyncio.Event().wait()

        metadata = (("authorization", f"Token {client.token}"),)
        stub = rpc.TaskServiceStub(client.channel)
        call = stub.SubmitTasks(requests(reached), metadata=metadata)
        async with asyncio.timeout(DEADLINE_S):
            await reached.wait()
        # An answer to another call: what was sent before it has arrived.
        await client.submit(name=ADD, args_json="[1, 2]", queue="whole")
        call.cancel()
    await client.submit(name=ADD, args_json="[1, 2]", queue="whole")
    assert await acount(queue="whole") == await acount() == 21
