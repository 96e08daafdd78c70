"""A gRPC client of TaskService, and builders of its messages."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from google.protobuf.timestamp_pb2 import Timestamp
from rest_framework.authtoken.models import Token

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from tests.factories import in_s

ADD = "examples.tasks.add"
EVERYTHING = ("add_task", "view_task", "change_task", "submit_shell")
BULK_MAX = 5
DEADLINE_S = 10
Code = grpc.StatusCode


@sync_to_async
def token_of(*permissions: str, active: bool = True) -> str:
    """Create a user with these permissions only. Return the token."""
    users = get_user_model().objects
    user = users.create_user(username=f"user-{users.count()}", is_active=active)
    user.user_permissions.set(
        Permission.objects.filter(
            codename__in=permissions, content_type__app_label="taskmaster_tasks"
        )
    )
    return str(Token.objects.create(user=user).key)


@dataclass
class Client:
    """A client with or without a token."""

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
        """Submit a task. Return its id."""
        answer = await self._stub.SubmitTask(pb.SubmitTaskRequest(**fields), **self._options)
        return int(answer.task_id)

    async def notices(self, *requests: pb.SubmitTaskRequest) -> list[str]:
        """Submit tasks one by one and together. Return the notices of the answers."""
        single = [await self._stub.SubmitTask(each, **self._options) for each in requests]
        many = iter([pb.SubmitTasksRequest(tasks=requests)])
        answer = await self._stub.SubmitTasks(many, **self._options)
        return [*(each.notice for each in single), *answer.notices]

    async def submit_many(self, *chunks: list[pb.SubmitTaskRequest]) -> list[int]:
        """Submit tasks as a stream of chunks. Return their ids."""
        requests = [pb.SubmitTasksRequest(tasks=chunk) for chunk in chunks]
        answer = await self._stub.SubmitTasks(iter(requests), **self._options)
        return list(answer.task_ids)

    async def get(self, task_id: int) -> pb.Task:
        return await self._stub.GetTask(pb.GetTaskRequest(task_id=task_id), **self._options)

    async def cancel(self, task_id: int) -> pb.Task:
        return await self._stub.CancelTask(pb.CancelTaskRequest(task_id=task_id), **self._options)


async def refused(call: Awaitable[object], code: grpc.StatusCode) -> str:
    """Check that the call ends with a status. Return its details."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == code, caught.value.details()
    return caught.value.details() or ""


def sums(*numbers: int) -> list[pb.SubmitTaskRequest]:
    return [pb.SubmitTaskRequest(name=ADD, args_json=f"[{number}, 1]") for number in numbers]


def at(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(in_s(seconds))
    return stamp
