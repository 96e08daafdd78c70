"""What clients in any language meet: the same permissions and rules as REST, as gRPC statuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from rest_framework.authtoken.models import Token

from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tasks.lifecycle import Status
from tasks.models import Task
from tests.system.fleet import WireWorker, acount, coordinator, until_counted
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "examples.tasks.add"
EVERYTHING = ("add_task", "view_task", "change_task", "submit_shell")
BULK_MAX = 5
DEADLINE_S = 10
Code = grpc.StatusCode


@sync_to_async
def token_of(*permissions: str, active: bool = True) -> str:
    """The token of a new user who may do this and nothing else."""
    users = get_user_model().objects
    user = users.create_user(username=f"user-{users.count()}", is_active=active)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=permissions, content_type__app_label="tasks")
    )
    return str(Token.objects.create(user=user).key)


@dataclass
class Client:
    """Calls with a token, or without one."""

    channel: grpc.aio.Channel
    token: str | None

    @property
    def _options(self) -> dict[str, Any]:
        metadata = (("authorization", f"Token {self.token}"),) if self.token is not None else ()
        return {"metadata": metadata, "timeout": DEADLINE_S}

    @property
    def _stub(self) -> Any:
        return rpc.TaskServiceStub(self.channel)

    async def submit(self, **fields: Any) -> int:
        """The id of the stored task."""
        answer = await self._stub.SubmitTask(pb.SubmitTaskRequest(**fields), **self._options)
        return int(answer.task_id)

    async def submit_many(self, *chunks: list[pb.SubmitTaskRequest]) -> list[int]:
        """The ids of the tasks, streamed in these chunks."""
        requests = [pb.SubmitTasksRequest(tasks=chunk) for chunk in chunks]
        answer = await self._stub.SubmitTasks(iter(requests), **self._options)
        return list(answer.task_ids)

    async def get(self, task_id: int) -> pb.Task:
        return await self._stub.GetTask(pb.GetTaskRequest(task_id=task_id), **self._options)

    async def cancel(self, task_id: int) -> pb.Task:
        return await self._stub.CancelTask(pb.CancelTaskRequest(task_id=task_id), **self._options)


async def refused(call: Awaitable[object], code: grpc.StatusCode) -> str:
    """The details of the status with which the call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == code, caught.value.details()
    return caught.value.details() or ""


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    """Of a coordinator with a small limit for bulks; it outlives the flushes between tests."""
    with asyncio.Runner() as runner:
        process = coordinator(TASKMASTER_BULK_MAX_TASKS=str(BULK_MAX))
        yield runner.run(process.__aenter__())
        runner.run(process.__aexit__(None, None, None))


@pytest.fixture
async def channel(address: str, transactional_db: None) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
async def client(channel: grpc.aio.Channel) -> Client:
    return Client(channel, await token_of(*EVERYTHING))


def sums(*numbers: int) -> list[pb.SubmitTaskRequest]:
    return [pb.SubmitTaskRequest(name=ADD, args_json=f"[{number}, 1]") for number in numbers]


def listed(*values: object) -> ListValue:
    values_list = ListValue()
    values_list.extend(values)
    return values_list


def structure(**values: object) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def at(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(in_s(seconds))
    return stamp


# ---- who may ------------------------------------------------------------------------------------


async def test_calls_without_a_good_token_are_unauthenticated(channel: grpc.aio.Channel) -> None:
    inactive = await token_of(*EVERYTHING, active=False)
    [task_id] = await sync_to_async(stored)()
    for token, rule in (
        (None, "Send the metadata `authorization: Token <key>`."),
        ("", "The token is unknown"),
        ("0" * 40, "The token is unknown"),
        ("' or 1=1 --", "The token is unknown"),
        (inactive, "its user is not active"),
    ):
        client = Client(channel, token)
        for call in (
            client.submit(name=ADD),
            client.submit_many(sums(1)),
            client.get(task_id),
            client.cancel(task_id),
        ):
            assert rule in await refused(call, Code.UNAUTHENTICATED)
    assert await acount() == await acount(status=Status.PENDING) == 1


async def test_each_call_needs_its_own_permission(channel: grpc.aio.Channel) -> None:
    [task_id] = await sync_to_async(stored)()
    adds = Client(channel, await token_of("add_task"))
    views = Client(channel, await token_of("view_task"))
    changes = Client(channel, await token_of("change_task"))
    for call, permission in (
        (views.submit(name=ADD), "tasks.add_task"),
        (changes.submit_many(sums(1)), "tasks.add_task"),
        (adds.get(task_id), "tasks.view_task"),
        (changes.get(task_id), "tasks.view_task"),
        (views.cancel(task_id), "tasks.change_task"),
        (adds.cancel(task_id), "tasks.change_task"),
    ):
        assert await refused(call, Code.PERMISSION_DENIED) == (
            f"This needs the permission {permission}."
        )
    assert await acount() == await acount(status=Status.PENDING) == 1


async def test_a_shell_command_needs_its_own_permission(channel: grpc.aio.Channel) -> None:
    client = Client(channel, await token_of("add_task", "view_task", "change_task"))
    shell = pb.SubmitTaskRequest(name="shell", kwargs_json='{"command": "true"}')
    for call in (
        client.submit(name="shell", kwargs_json='{"command": "true"}'),
        client.submit_many([*sums(1), shell]),
    ):
        rule = "This needs the permission tasks.submit_shell."
        assert await refused(call, Code.PERMISSION_DENIED) == rule
    assert await acount() == 0


# ---- one task -----------------------------------------------------------------------------------


async def test_a_submitted_task_is_stored_shown_and_cancelled(client: Client) -> None:
    when = at(3_600)
    task_id = await client.submit(
        name=ADD,
        args=listed(1, 2.5, "three", None),
        kwargs=structure(b=[True]),
        queue="sums",
        priority=-7,
        scheduled_at=when,
        max_attempts=9,
        timeout_s=1.5,
        tags=["nightly", "ünïcode"],
    )
    shown = await client.get(task_id)
    assert (shown.id, shown.name, shown.queue, shown.priority) == (task_id, ADD, "sums", -7)
    assert json.loads(shown.args_json) == [1, 2.5, "three", None]
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


async def test_what_is_left_out_takes_its_default(client: Client) -> None:
    task = await Task.objects.aget(pk=await client.submit(name=ADD))
    assert (task.args, task.kwargs, task.queue, task.priority) == ([], {}, "default", 0)
    assert (task.max_attempts, task.timeout_s, task.tags) == (3, 3_600.0, [])
    assert abs(task.scheduled_at - task.created_at) < timedelta(seconds=1)


async def test_whole_numbers_stay_whole(client: Client) -> None:
    task_id = await client.submit(name=ADD, args=listed(3, [2.0]), kwargs=structure(b={"c": 1}))
    exact = await client.submit(name=ADD, args_json="[9007199254740993]", kwargs_json='{"b": 1.0}')
    assert (await client.get(task_id)).args_json == "[3, [2]]"
    assert (await client.get(task_id)).kwargs_json == '{"b": {"c": 1}}'
    assert (await client.get(exact)).args_json == "[9007199254740993]"


async def test_a_task_says_why_it_is_not_running(client: Client, address: str) -> None:
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
    assert rule == f"Task {task_id} is {status}: it cannot be cancelled any more."
    assert await acount(pk=task_id, status=status, cancelled_at=None) == 1


# ---- bad fields ---------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name: is required"),
    ({"name": "examples.tasks.ad"}, "examples.tasks.add"),
    ({"name": "x" * 201}, "name: has 201 characters; at most 200 are allowed."),
    ({"queue": "q" * 65}, "queue: has 65 characters; at most 64 are allowed."),
    ({"queue": "no spaces"}, "queue: may hold letters, digits and . _ : - only."),
    ({"priority": 101}, "priority: is 101; it must be from -100 to 100."),
    ({"priority": -101}, "priority: is -101; it must be from -100 to 100."),
    ({"max_attempts": 101}, "max_attempts: is 101; it must be from 1 to 100."),
    ({"timeout_s": -1.0}, "timeout_s: is -1.0; it must be from 0 (none)"),
    ({"timeout_s": float("nan")}, "timeout_s: is nan; it must be"),
    ({"timeout_s": float("inf")}, "timeout_s: is inf; it must be"),
    ({"scheduled_at": Timestamp(seconds=1)}, "lies in the past; leave it out to start now."),
    ({"scheduled_at": at(101 * 366 * 86_400.0)}, "is more than 100 years away."),
    ({"scheduled_at": Timestamp(seconds=2**60)}, "scheduled_at: is out of range."),
    ({"tags": ["t"] * 21}, "tags: holds 21 tags; at most 20 are allowed."),
    ({"tags": ["fine", ""]}, "tags[1]: must not be empty."),
    ({"args_json": "[1,"}, "args_json: is no JSON"),
    ({"args_json": "{}"}, "args: must be a list, not an object."),
    ({"kwargs_json": "[]"}, "kwargs: must be an object, not a list."),
    ({"args_json": "[NaN]"}, "args: is no JSON"),
    ({"args_json": '["\\u0000"]'}, "args: holds U+0000"),
    ({"args_json": "[" * 100_000}, "args_json: is no JSON"),
    ({"args": listed(float("inf"))}, "args: is no JSON"),
    (
        {"args_json": f'["{"x" * 1_048_577}"]'},
        "args: args and kwargs take 1,048,583 bytes of JSON; at most 1,048,576 are allowed.",
    ),
    ({"args_json": f'["{"ü" * 600_000}"]'}, "at most 1,048,576 are allowed."),
    ({"name": "shell"}, "kwargs.command: must be a script (text) or a list"),
    ({"name": "shell", "kwargs_json": '{"command": ""}'}, "kwargs.command: must be a script"),
    ({"name": "shell", "kwargs_json": '{"command": "a", "x": 1}'}, "kwargs.x: unknown"),
]


async def test_bad_fields_are_named_with_their_rule_and_nothing_is_stored(client: Client) -> None:
    for fields, rule in BAD:
        given = {} if not fields else {"name": ADD, **fields}
        assert rule in await refused(client.submit(**given), Code.INVALID_ARGUMENT), fields
        # The same in a bulk, where good ones stand before and after.
        bad = pb.SubmitTaskRequest(**given)
        call = client.submit_many(sums(1), [*sums(2), bad, *sums(3)])
        details = await refused(call, Code.INVALID_ARGUMENT)
        assert rule in details.replace("tasks[2].", ""), fields
        assert details.startswith("tasks[2]."), details
    assert await acount() == 0


async def test_ten_megabytes_of_arguments_are_refused(client: Client) -> None:
    said = await refused(
        client.submit(name=ADD, args_json=f'["{"x" * 10_000_000}"]'), Code.INVALID_ARGUMENT
    )
    assert said == (
        "args: args and kwargs take 10,000,006 bytes of JSON; at most 1,048,576 are allowed."
    )
    assert await acount() == 0


async def test_a_task_of_the_largest_size_in_any_alphabet_can_be_shown(client: Client) -> None:
    task_id = await client.submit(name=ADD, args_json=json.dumps(["漢" * 340_000]))
    await Task.objects.filter(pk=task_id).aupdate(
        status="complete", result="漢" * 340_000, errors=[{"traceback": "x" * 16_000}] * 100
    )
    shown = await client.get(task_id)
    assert json.loads(shown.result_json) == "漢" * 340_000
    assert 50 < len(json.loads(shown.errors_json)) < 100


async def test_two_ways_to_give_arguments_are_one_too_many(client: Client) -> None:
    both = {"args_json": "[1, 2]", "args": listed(3, 4)}
    said = await refused(client.submit(name=ADD, **both), Code.INVALID_ARGUMENT)
    assert said == "args_json: stands in for args; give one of the two."
    assert await acount() == 0


# ---- many ---------------------------------------------------------------------------------------


async def test_a_bulk_is_stored_in_the_order_of_its_stream(client: Client) -> None:
    ids = await client.submit_many(sums(10, 11), [], sums(12), sums(13, 14))
    assert len(ids) == BULK_MAX
    found = [(await client.get(task_id)).args_json for task_id in ids]
    assert found == ["[10, 1]", "[11, 1]", "[12, 1]", "[13, 1]", "[14, 1]"]
    assert await acount(created_by__isnull=False) == BULK_MAX


async def test_an_empty_bulk_and_one_above_the_limit_are_refused(client: Client) -> None:
    for chunks, rule in (
        ([], "tasks: must hold at least one task."),
        ([[], []], "tasks: must hold at least one task."),
        ([sums(*range(6))], "tasks: more than 5 tasks; at most 5 at once."),
        ([sums(1, 2, 3), sums(4, 5), sums(6)], "tasks: more than 5 tasks; at most 5 at once."),
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
        await client.submit(name=ADD, queue="whole")
        call.cancel()
    await client.submit(name=ADD, queue="whole")
    assert await acount(queue="whole") == await acount() == 21


# ---- beside the service -------------------------------------------------------------------------


async def test_health_and_reflection_answer(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "taskmaster.v1.TaskService", "taskmaster.v1.WorkerService"):
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await health.Check(request, timeout=DEADLINE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service

    def requests() -> Iterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="taskmaster.v1.TaskService"
        )

    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answers = [answer async for answer in stub.ServerReflectionInfo(requests(), timeout=DEADLINE_S)]
    assert {service.name for service in answers[0].list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "taskmaster.v1.TaskService",
        "taskmaster.v1.WorkerService",
    }
    assert answers[1].file_descriptor_response.file_descriptor_proto


async def test_health_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="taskmaster.v1.Nothing")
    await refused(health.Check(request, timeout=DEADLINE_S), Code.NOT_FOUND)
