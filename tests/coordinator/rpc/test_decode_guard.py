"""Test that malformed messages are refused with a clear status, and change nothing."""

from __future__ import annotations

import random
import time
from typing import Any

import grpc
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from rest_framework.authtoken.models import Token

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.models import Task, TaskOutput
from tests.coordinator.rpc.intruder import DEADLINE_S, KINDS, Intruder, report, rows, status
from tests.coordinator.rpc.watched import logged_once, store, undisturbed
from tests.factories import in_s
from tests.system.fleet import WireWorker, acount
from tests.system.programs import Program
from tests.waiting import until_counted

pytestmark = pytest.mark.django_db(transaction=True)

Code = grpc.StatusCode


SEED = 20_260_701
#: Number of corrupted messages for each method.
MUTANTS = 60
#: The way in which each method is called.
METHODS = {
    "TaskService/SubmitTask": "unary_unary",
    "TaskService/SubmitTasks": "stream_unary",
    "TaskService/GetTask": "unary_unary",
    "TaskService/CancelTask": "unary_unary",
    "WorkerService/ReceiveTasks": "unary_stream",
    "WorkerService/SendHeartbeat": "unary_unary",
    "WorkerService/UpdateTaskStatus": "unary_unary",
}
#: Statuses that are allowed. Others would show the text of a Python exception.
CLEAR = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.FAILED_PRECONDITION,
    Code.PERMISSION_DENIED,
    Code.RESOURCE_EXHAUSTED,
}


@sync_to_async
def token_of(*codenames: str) -> str:
    """Create a user with these permissions. Return the token."""
    user = get_user_model().objects.create_user(username="ada")
    permissions = Permission.objects.filter(content_type__app_label="taskmaster_tasks")
    user.user_permissions.set(permissions.filter(codename__in=codenames))
    return str(Token.objects.create(user=user).key)


def raw(channel: grpc.aio.Channel, method: str, data: bytes, token: str = "") -> Any:
    """Start a call with these bytes, without a serializer."""
    kind = METHODS[method]
    call = getattr(channel, kind)(f"/taskmaster.v1.{method}")
    metadata = (("authorization", f"Token {token}"),)
    given = iter([data]) if kind == "stream_unary" else data
    return call(given, timeout=DEADLINE_S, metadata=metadata)


async def test_bytes_that_are_not_protobuf_are_refused(
    mallory: Intruder, honest: WireWorker, program: Program
) -> None:
    before, token = await rows(), await token_of("add_task")
    for method in METHODS:
        for data in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x07" * 100, b"\x0a\x7fcut"):
            for _ in range(10):
                result = await status(raw(mallory.channel, method, data, token))
                rule = f"/taskmaster.v1.{method}: the message is not valid protobuf."
                assert result == (Code.INVALID_ARGUMENT, rule)
        await undisturbed()
    assert await rows() == before
    logged_once(program, "call refused: malformed message")


async def test_a_message_above_the_limit_is_refused(mallory: Intruder, honest: WireWorker) -> None:
    before, token = await rows(), await token_of("add_task")
    data = b"\x0a" * (16 * 1024 * 1024 + 1)
    for method in METHODS:
        code, details = await status(raw(mallory.channel, method, data, token))
        assert code == Code.RESOURCE_EXHAUSTED, method
        assert "larger than max" in details
    assert await rows() == before


async def test_corrupted_messages_change_no_row_of_another_worker(
    address: str, mallory: Intruder, honest: WireWorker, program: Program
) -> None:
    """Valid messages about tasks of another worker, cut and with bits flipped."""
    chance = random.Random(SEED)
    async with WireWorker(address).running() as victim:
        victim.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        messages = real_messages(mallory, task_id, held)
        before = await Task.objects.aget(pk=task_id), await Task.objects.aget(pk=held)
        token = await token_of()
        for method, message in messages.items():
            for _ in range(MUTANTS):
                data = mutant(message.SerializeToString(), chance)
                code, details = await status(raw(mallory.channel, method, data, token))
                assert code in CLEAR, (method, data, details)
                assert "Error" not in details, (method, data, details)
            await undisturbed()
        after = await Task.objects.aget(pk=task_id), await Task.objects.aget(pk=held)
        for old, new in zip(before, after, strict=True):
            assert {k: v for k, v in vars(old).items() if k != "_state"} == {
                k: v for k, v in vars(new).items() if k != "_state"
            }
        assert await TaskOutput.objects.acount() == 0
        assert await acount() == 2
        # The victim still has its own task.
        receipt = await victim.complete([victim.offers[0][1]])
        assert not receipt.stale
        assert (await Task.objects.aget(pk=task_id)).status == "complete"
    # Refusals are logged at a bounded rate.
    assert len(program.wrote("refused")) < 25


def real_messages(sender: Intruder, task_id: int, held: int) -> dict[str, Any]:
    """Build a valid message for each method, about tasks of another worker."""
    update = pb.StatusUpdate(worker_id=sender.id, now_us=time.time_ns() // 1_000)
    for each in (task_id, held):
        for kind in KINDS:
            update.MergeFrom(pb.StatusUpdate(**report(kind, each, 1, 1)))
    running = [pb.Execution(task_id=each, lease=1) for each in (task_id, held)]
    submit = pb.SubmitTaskRequest(name="examples.tasks.add", args_json="[1, 2]", priority=3)
    return {
        "TaskService/SubmitTask": submit,
        "TaskService/SubmitTasks": pb.SubmitTasksRequest(tasks=[submit]),
        "TaskService/GetTask": pb.GetTaskRequest(task_id=task_id),
        "TaskService/CancelTask": pb.CancelTaskRequest(task_id=task_id),
        "WorkerService/ReceiveTasks": sender.hello(running=running),
        "WorkerService/SendHeartbeat": pb.Heartbeat(
            worker_id=sender.id, slots=1, running=running, rss_bytes=10**6, cpu=0.5
        ),
        "WorkerService/UpdateTaskStatus": update,
    }


def mutant(message: bytes, chance: random.Random) -> bytes:
    """Cut the message, flip some of its bits, or insert a piece of itself."""
    data = bytearray(message)
    match chance.randrange(3):
        case 0:
            del data[chance.randrange(len(data)) :]
        case 1:
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 2:
            at, until_, to = (chance.randrange(len(data)) for _ in range(3))
            data[to:to] = data[at:until_]
    return bytes(data)
