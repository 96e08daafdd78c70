"""A client that speaks gRPC, and how it is refused."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.timestamp_pb2 import Timestamp
from rest_framework.authtoken.models import Token

from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tests.tasks.sample import in_s

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
