"""Serve the gRPC calls of clients, with the same permissions and validation as REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import InternalError, OperationalError, connections, transaction
from psycopg.errors import ReadOnlySqlTransaction

from taskmaster.coordinator.rpc.join_auth import UNAVAILABLE, Context
from taskmaster.coordinator.rpc.task_messages import (
    parse_submission,
    parse_submissions,
    task_message,
)
from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks import enqueue, permissions, task_actions
from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import (
    ConfigurationError,
    IllegalTransition,
    InvalidField,
    NotAllowed,
    NotFound,
    TaskMasterError,
    TooLarge,
    UnknownTaskName,
)
from taskmaster.tasks.events.publish import publish_submitted
from taskmaster.tasks.messages import NewTask, list_notices

_Result = TypeVar("_Result")

#: The gRPC status of each error. A subclass without an entry has the status of its parent class.
STATUS: dict[type[TaskMasterError], grpc.StatusCode] = {
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    TooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownTaskName: grpc.StatusCode.INVALID_ARGUMENT,
    NotAllowed: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    IllegalTransition: grpc.StatusCode.FAILED_PRECONDITION,
    ConfigurationError: grpc.StatusCode.INTERNAL,
}
_SCHEME = "token "


class Unauthenticated(Exception):
    """Report that a call carries no valid token of an active user."""


class TaskService(rpc.TaskServiceServicer):
    """Submit, show and cancel tasks on behalf of the user whose token the call carries."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        #: Threads that may use Django's connections.
        self._threads = threads
        self._refusals = LogThrottle()

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

        return await self._call(context, submit)

    async def SubmitTasks(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SubmitTasksRequest], context: Context
    ) -> pb.SubmitTasksResponse:
        """Store many tasks in one transaction: all or none."""

        def admit(user: Any) -> None:
            permissions.require(user, permissions.ADD)

        await self._call(context, admit)
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
                    self._threads, parse_submissions, request, len(new)
                )
            except TaskMasterError as error:
                await context.abort(_status(error), str(error))

        def submit(user: Any) -> list[int]:
            permissions.check_submit(user, new)
            with transaction.atomic():
                ids = enqueue.bulk(new, created_by_id=user.pk)
                publish_submitted(ids, new, user.get_username())
                # If a client disconnects, gRPC ends its request stream as if it were complete, and
                # cancels the call a moment later. The cancellation has arrived by now: roll back.
                transaction.set_rollback(bool(call and call.cancelling()))
            return ids

        ids = await self._call(context, submit)
        return pb.SubmitTasksResponse(task_ids=ids, notices=list_notices(new))

    async def GetTask(  # noqa: N802
        self, request: pb.GetTaskRequest, context: Context
    ) -> pb.Task:
        """Return one task."""

        def show(user: Any) -> pb.Task:
            permissions.require(user, permissions.VIEW)
            return task_message(request.task_id)

        return await self._call(context, show)

    async def CancelTask(  # noqa: N802
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.Task:
        """Cancel a task that has not ended. Return the task."""

        def cancel(user: Any) -> pb.Task:
            permissions.require(user, permissions.VIEW, permissions.CHANGE)
            task_actions.cancel(request.task_id, by=user.get_username())
            return task_message(request.task_id)

        return await self._call(context, cancel)

    async def _call(self, context: Context, work: Callable[[Any], _Result]) -> _Result:
        """Run `work(user)` in a thread. Abort the call with a status if it raises."""
        metadata = context.invocation_metadata() or ()
        header = dict(metadata).get("authorization", "")

        def run() -> _Result:
            try:
                return work(_user(str(header)))
            finally:
                # A call has no Django request whose end would return the connection to the pool.
                connections.close_all()

        run_async = sync_to_async(run, thread_sensitive=False, executor=self._threads)
        try:
            return await run_async()
        except Unauthenticated as error:
            self._refusals.warn("call refused: no valid API token", peer=context.peer())
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except TaskMasterError as error:
            await context.abort(_status(error), str(error))
        except OperationalError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, UNAVAILABLE)
        except InternalError as error:
            if not isinstance(error.__cause__, ReadOnlySqlTransaction):
                raise
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "The database is read-only; retry later."
            )
        raise AssertionError("abort raises")


def _status(error: TaskMasterError) -> grpc.StatusCode:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _user(header: str) -> Any:
    if not apps.is_installed("rest_framework.authtoken"):
        raise Unauthenticated(
            "Tokens require django-taskmaster[api] and rest_framework.authtoken in INSTALLED_APPS."
        )
    from rest_framework.authtoken.models import Token

    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated(
            "The call has no token; send the metadata `authorization: Token <key>`."
        )
    key = header[len(_SCHEME) :].strip()
    token = Token.objects.select_related("user").filter(key=key).first()
    if token is None or not token.user.is_active:
        raise Unauthenticated("The token is unknown, or its user is not active.")
    return token.user
