"""A worker that sends invalid messages, and a snapshot of the rows that it must not change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc
from django.core.serializers.json import DjangoJSONEncoder

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.workers.models import Worker

DEADLINE_S = 20
KINDS = ("started", "completed", "failed", "output", "declined")


async def status(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return the status and details of a call. A stream is cancelled after its first message."""
    try:
        if hasattr(call, "read"):
            await call.read()
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def report(kind: str, task_id: int, lease: int, attempt: int, **fields: Any) -> dict[str, Any]:
    """Build one report, as fields of a `StatusUpdate`."""
    if kind == "declined":
        return {kind: [pb.Execution(task_id=task_id, lease=lease)]}
    given = {"result": '"stolen"'} if kind == "completed" else {}
    given |= {"stream": "stdout", "text": "stolen"} if kind == "output" else {}
    message = {
        "started": pb.Started,
        "completed": pb.Completed,
        "failed": pb.Failed,
        "output": pb.Output,
    }[kind]
    return {kind: [message(task_id=task_id, lease=lease, attempt=attempt, **(given | fields))]}


class Intruder:
    """A connected worker that ignores its stream."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.id = str(uuid4())
        self.channel = channel
        self.stub = rpc.WorkerServiceStub(channel)

    def hello(self, **fields: Any) -> pb.WorkerHello:
        """Build a valid hello, with the given fields replaced."""
        given = {
            "worker_id": self.id,
            "name": "intruder",
            "host": "h",
            "executor": "thread",
            "slots": 1,
            "queues": ["unserved"],
            "protocol": 1,
        }
        return pb.WorkerHello(**(given | fields))

    def update(self, **reports: Any) -> Any:
        """Send the given reports."""
        message = pb.StatusUpdate(**({"worker_id": self.id} | reports))
        return self.stub.UpdateTaskStatus(message, timeout=DEADLINE_S)

    def beat(self, **fields: Any) -> Any:
        """A heartbeat."""
        message = pb.Heartbeat(**({"worker_id": self.id, "slots": 1} | fields))
        return self.stub.SendHeartbeat(message, timeout=DEADLINE_S)


@asynccontextmanager
async def intruder(address: str) -> AsyncIterator[Intruder]:
    """Connect a worker of a queue that has no tasks."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        mallory = Intruder(channel)
        stream = mallory.stub.ReceiveTasks(mallory.hello())
        assert (await stream.read()).WhichOneof("message") == "welcome"
        yield mallory
        stream.cancel()


async def rows() -> str:
    """Return all tasks and outputs, and the workers without the columns of their heartbeats."""
    steady = ("id", "name", "host", "pid", "status", "executor", "queues", "slots", "coordinator")
    found = [
        [row async for row in Task.objects.order_by("id").values()],
        [row async for row in TaskOutput.objects.order_by("task_id", "lease", "seq").values()],
        [row async for row in Worker.objects.order_by("id").values(*steady)],
    ]
    return json.dumps(found, cls=DjangoJSONEncoder, indent=1)
