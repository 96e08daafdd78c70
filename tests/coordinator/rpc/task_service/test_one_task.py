"""Test that clients can submit, show and cancel a task, with the rules of REST."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks import fleet
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task
from tests.coordinator.rpc.task_service.client import (
    ADD,
    DEADLINE_S,
    Client,
    Code,
    at,
    refused,
)
from tests.factories import stored
from tests.system.fleet import WireWorker, acount
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_submitted_task_is_stored_shown_and_cancelled(client: Client) -> None:
    when = at(3_600)
    task_id = await client.submit(
        name=ADD,
        args_json='[[1, 2.5, "three", null]]',
        kwargs_json='{"b": [true]}',
        queue="sums",
        priority=-7,
        scheduled_at=when,
        max_attempts=9,
        timeout_s=1.5,
        tags=["nightly", "ünïcode"],
    )
    shown = await client.get(task_id)
    assert (shown.id, shown.name, shown.queue, shown.priority) == (task_id, ADD, "sums", -7)
    assert json.loads(shown.args_json) == [[1, 2.5, "three", None]]
    assert json.loads(shown.kwargs_json) == {"b": [True]}
    assert (shown.max_attempts, shown.timeout_s) == (9, 1.5)
    assert (list(shown.tags), shown.created_by) == (["nightly", "ünïcode"], "user-0")
    assert shown.status == pb.TASK_STATUS_PENDING
    assert shown.scheduled_at.ToMicroseconds() == when.ToMicroseconds()
    assert not shown.HasField("cancelled_at")

    cancelled = await client.cancel(task_id)
    assert (cancelled.id, cancelled.status) == (task_id, pb.TASK_STATUS_CANCELLED)
    assert cancelled.HasField("cancelled_at")
    assert await acount(status=Status.CANCELLED, pk=task_id) == 1


async def test_a_name_that_only_a_worker_knows_is_accepted_with_a_notice(
    client: Client, address: str
) -> None:
    fresh = pb.SubmitTaskRequest(name="newcode.fresh", args_json="[1]")
    rule = "name: 'newcode.fresh' is not a registered task, and no connected worker knows it"
    assert rule in await refused(client.submit(name=fresh.name), Code.INVALID_ARGUMENT)
    async with WireWorker(address, names=(fresh.name,)).running():
        await until(sync_to_async(lambda: fleet.is_announced(fresh.name)), 20)
        notices = await client.notices(fresh, pb.SubmitTaskRequest(name=ADD, args_json="[1, 2]"))
        [first, nothing, of_bulk] = notices
        assert first.startswith("Only workers know newcode.fresh, and this process does not: ")
        assert (nothing, of_bulk) == ("", first)
        await until_counted(2, name=fresh.name, status="complete", attempt=1)
        # The only worker of the queue does not know this one.
        await until_counted(2, name=ADD, status="waiting")
        task = await Task.objects.filter(name=ADD).afirst()
        assert task is not None
        shown = await client.get(task.pk)
        assert shown.status == pb.TASK_STATUS_WAITING
        assert shown.reason == f"No connected worker knows {ADD}."


async def test_absent_fields_have_their_defaults(client: Client) -> None:
    task = await Task.objects.aget(pk=await client.submit(name="examples.tasks.wait"))
    assert (task.args, task.kwargs, task.queue, task.priority) == ([], {}, "default", 0)
    assert (task.max_attempts, task.timeout_s, task.tags) == (3, 3_600.0, [])
    assert abs(task.scheduled_at - task.created_at) < timedelta(seconds=1)


async def test_arguments_keep_value_type_and_order(client: Client) -> None:
    args = "[[9007199254740993,1.0,-0.0,1e+16]]"
    kwargs = '{"b":{"zeta":{"b":1,"a":2},"alpha":[]}}'
    shown = await client.get(await client.submit(name=ADD, args_json=args, kwargs_json=kwargs))
    assert (shown.args_json, shown.kwargs_json) == (args, kwargs)


async def test_a_waiting_task_contains_the_reason(client: Client, address: str) -> None:
    task_id = await client.submit(name=ADD, args_json="[1, 2]", queue="reports")
    async with asyncio.timeout(DEADLINE_S):
        while (await client.get(task_id)).reason != "No worker serves the queue `reports`.":
            await asyncio.sleep(0.05)
    async with WireWorker(address).running():
        await until_counted(1, pk=task_id, status="complete")
    assert (await client.get(task_id)).reason == ""


async def test_a_result_is_shown_once_the_task_is_complete(address: str, client: Client) -> None:
    task_id = await client.submit(name=ADD, args_json="[1, 0]")
    assert (await client.get(task_id)).result_json == ""
    async with WireWorker(address).running():
        await until_counted(1, pk=task_id, status=Status.COMPLETE)
    shown = await client.get(task_id)
    assert (shown.status, shown.result_json) == (pb.TASK_STATUS_COMPLETE, "1")
    assert (shown.attempt, shown.errors_json) == (1, "[]")
    times = [shown.created_at, shown.picked_at, shown.completed_at]
    assert [t.ToMicroseconds() for t in times] == sorted(t.ToMicroseconds() for t in times)


async def test_an_unknown_task_is_not_found(client: Client) -> None:
    for unknown in (0, -1, 4_711, 2**63 - 1):
        for call in (client.get(unknown), client.cancel(unknown)):
            assert await refused(call, Code.NOT_FOUND) == f"There is no task {unknown}."


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.FAILED, Status.CANCELLED])
async def test_a_finished_task_cannot_be_cancelled(client: Client, status: Status) -> None:
    [task_id] = await sync_to_async(stored)()
    await Task.objects.filter(pk=task_id).aupdate(status=status)
    rule = await refused(client.cancel(task_id), Code.FAILED_PRECONDITION)
    assert rule == f"Task {task_id} is {status}: only tasks that have not ended can be cancelled."
    assert await acount(pk=task_id, status=status, cancelled_at=None) == 1
