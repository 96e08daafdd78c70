"""Serve the gRPC calls on tasks, with the same permissions and validation as REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from django.db import transaction

from taskmaster.coordinator.rpc.client_calls import ClientCalls, status_of
from taskmaster.coordinator.rpc.join_auth import Context
from taskmaster.coordinator.rpc.task_messages import (
    parse_submission,
    parse_submissions,
    task_message,
)
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks import enqueue, permissions, task_actions
from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.events.publish import publish_submitted
from taskmaster.tasks.messages import NewTask, list_notices


class TaskService(rpc.TaskServiceServicer):
    """Submit, show and cancel tasks on behalf of the user whose token the call carries."""

    def __init__(self, calls: ClientCalls) -> None:
        self._calls = calls

    async def SubmitTask(  # noqa: N802
        self, request: pb.SubmitTaskRequest, context: Context
    ) -> pb.SubmitTaskResponse:
        """Store one task."""

        def submit(user: Any) -> pb.SubmitTaskResponse:
            # Before the validation, whose errors describe the registered tasks.
            permissions.require(user, permissions.ADD)
            new = parse_submission(request)
            permissions.check_submit(user, [new])
            task_id = enqueue.enqueue(new, created_by_id=user.pk)
            publish_submitted([task_id], [new], user.get_username())
            return pb.SubmitTaskResponse(task_id=task_id, notice=new.notice)

        return await self._calls.run(context, submit)

    async def SubmitTasks(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SubmitTasksRequest], context: Context
    ) -> pb.SubmitTasksResponse:
        """Store many tasks in one transaction: all or none."""

        def admit(user: Any) -> None:
            permissions.require(user, permissions.ADD)

        await self._calls.run(context, admit)
        call, limit = asyncio.current_task(), settings().bulk_max_tasks
        loop = asyncio.get_running_loop()
        new: list[NewTask] = []
        async for request in request_iterator:
            if len(new) + len(request.tasks) > limit:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"tasks: has more than {limit:,} tasks, the limit per submission.",
                )
            try:
                # Parse in a thread, so that the event loop can go on sending offers.
                new += await loop.run_in_executor(
                    self._calls.threads, parse_submissions, request, len(new)
                )
            except TaskMasterError as error:
                await context.abort(status_of(error), str(error))

        def submit(user: Any) -> list[int]:
            permissions.check_submit(user, new)
            with transaction.atomic():
                ids = enqueue.bulk(new, created_by_id=user.pk)
                publish_submitted(ids, new, user.get_username())
                # If a client disconnects, gRPC ends its request stream as if it were complete, and
                # cancels the call a moment later. The cancellation has arrived by now: roll back.
                transaction.set_rollback(bool(call and call.cancelling()))
            return ids

        ids = await self._calls.run(context, submit)
        return pb.SubmitTasksResponse(task_ids=ids, notices=list_notices(new))

    async def GetTask(  # noqa: N802
        self, request: pb.GetTaskRequest, context: Context
    ) -> pb.Task:
        """Return one task."""

        def show(user: Any) -> pb.Task:
            permissions.require(user, permissions.VIEW)
            return task_message(request.task_id)

        return await self._calls.run(context, show)

    async def CancelTask(  # noqa: N802
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.Task:
        """Cancel a task that has not ended. Return the task."""

        def cancel(user: Any) -> pb.Task:
            permissions.require(user, permissions.VIEW, permissions.CHANGE)
            task_actions.cancel(request.task_id, by=user.get_username())
            return task_message(request.task_id)

        return await self._calls.run(context, cancel)
