"""What clients in any language call: what REST does, with the same permissions and rules."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import grpc
from asgiref.sync import sync_to_async
from django.db import InternalError, OperationalError, connection, connections, transaction
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg.errors import ReadOnlySqlTransaction

from coordinator.refusals import Refusals
from coordinator.service.gate import Context
from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tasks import enqueue, operations, permissions, submission
from tasks.conf import settings
from tasks.errors import (
    ConfigurationError,
    IllegalTransition,
    InvalidField,
    NotAllowed,
    NotFound,
    TaskMasterError,
    TaskNotFound,
    TooLarge,
    UnknownTaskName,
)
from tasks.events.submitted import submitted
from tasks.models import Task
from tasks.reasons import why
from tasks.submission import NewTask

_T = TypeVar("_T")

#: The gRPC status of each error; a subclass without an entry has its parent's.
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
#: Of the errors of a task, in bytes: a client takes messages of 4 MB unless it says otherwise.
_ERRORS_MAX = 1_000_000


class Unauthenticated(Exception):
    """The call carries no token of an active user."""


class TaskService(rpc.TaskServiceServicer):
    """Submits, shows and cancels tasks for the user whose token the call carries."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        #: They may use Django's connections.
        self._threads = threads
        self._refusals = Refusals()

    async def SubmitTask(  # noqa: N802
        self, request: pb.SubmitTaskRequest, context: Context
    ) -> pb.SubmitTaskResponse:
        """Stores one task."""

        def submit(user: Any) -> int:
            new = _parse(request, now=_now() if request.HasField("scheduled_at") else None)
            permissions.check_submit(user, [new])
            task_id = enqueue.enqueue(new, created_by_id=user.pk)
            submitted([task_id], [new], user.get_username())
            return task_id

        return pb.SubmitTaskResponse(task_id=await self._call(context, submit))

    async def SubmitTasks(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SubmitTasksRequest], context: Context
    ) -> pb.SubmitTasksResponse:
        """Stores many tasks, all or none."""

        def admit(user: Any) -> datetime:
            permissions.require(user, permissions.ADD)
            return _now()

        began, clock = await self._call(context, admit), time.monotonic()
        call, limit = asyncio.current_task(), settings().bulk_max_tasks
        loop = asyncio.get_running_loop()
        new: list[NewTask] = []
        async for request in request_iterator:
            if len(new) + len(request.tasks) > limit:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"tasks: more than {limit:,} tasks; at most {limit:,} at once.",
                )
            try:
                # Beside the loop, which has offers to send meanwhile.
                now = began + timedelta(seconds=time.monotonic() - clock)
                new += await loop.run_in_executor(
                    self._threads, _parse_many, request, len(new), now
                )
            except TaskMasterError as error:
                await context.abort(_status(error), str(error))

        def submit(user: Any) -> list[int]:
            permissions.check_submit(user, new)
            with transaction.atomic():
                ids = enqueue.bulk(new, created_by_id=user.pk)
                submitted(ids, new, user.get_username())
                # gRPC ends the stream of a client that went away like that of one that has sent
                # all, and cancels the call a moment later: by now.
                transaction.set_rollback(bool(call and call.cancelling()))
            return ids

        return pb.SubmitTasksResponse(task_ids=await self._call(context, submit))

    async def GetTask(  # noqa: N802
        self, request: pb.GetTaskRequest, context: Context
    ) -> pb.Task:
        """Shows one task."""

        def show(user: Any) -> pb.Task:
            permissions.require(user, permissions.VIEW)
            return _message(request.task_id)

        return await self._call(context, show)

    async def CancelTask(  # noqa: N802
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.Task:
        """Cancels a task that has not ended."""

        def cancel(user: Any) -> pb.Task:
            permissions.require(user, permissions.CHANGE)
            operations.cancel(request.task_id, by=user.get_username())
            return _message(request.task_id)

        return await self._call(context, cancel)

    async def _call(self, context: Context, work: Callable[[Any], _T]) -> _T:
        """Runs `work(user)` beside the loop; errors become the call's status."""
        metadata = context.invocation_metadata() or ()
        header = dict(metadata).get("authorization", "")

        def run() -> _T:
            try:
                return work(_user(str(header)))
            finally:
                connections.close_all()

        run_async = sync_to_async(run, thread_sensitive=False, executor=self._threads)
        try:
            return await run_async()
        except Unauthenticated as error:
            self._refusals.note("call refused: no token of a user", peer=context.peer())
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except TaskMasterError as error:
            await context.abort(_status(error), str(error))
        except OperationalError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The database is away; try again.")
        except InternalError as error:
            if not isinstance(error.__cause__, ReadOnlySqlTransaction):
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The database is read-only.")
        raise AssertionError("abort raises")


def _status(error: TaskMasterError) -> grpc.StatusCode:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _user(header: str) -> Any:
    from rest_framework.authtoken.models import Token

    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated("Send the metadata `authorization: Token <key>`.")
    key = header[len(_SCHEME) :].strip()
    token = Token.objects.select_related("user").filter(key=key).first()
    if token is None or not token.user.is_active:
        raise Unauthenticated("The token is unknown, or its user is not active.")
    return token.user


def _now() -> datetime:
    """The database's time: what lies in the past is not for this host's clock to say."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast("datetime", cursor.fetchone()[0])


def _parse(request: pb.SubmitTaskRequest, *, at: str = "", now: datetime | None) -> NewTask:
    return submission.parse(_fields(request, at), at=at, now=now)


def _parse_many(request: pb.SubmitTasksRequest, start: int, now: datetime) -> list[NewTask]:
    return [
        _parse(each, at=f"tasks[{index}].", now=now)
        for index, each in enumerate(request.tasks, start)
    ]


def _fields(request: pb.SubmitTaskRequest, at: str) -> dict[str, object]:
    """The submission's fields; what the message leaves at its zero is absent."""
    fields: dict[str, object] = {
        "name": request.name or None,
        "args": _json(request, "args", at),
        "kwargs": _json(request, "kwargs", at),
        "queue": request.queue or None,
        "priority": request.priority,
        "max_attempts": request.max_attempts or None,
        "on_lost_contact": request.on_lost_contact or None,
        "tags": list(request.tags),
    }
    for field in ("timeout_s", "retry_base_s", "retry_cap_s"):
        if request.HasField(field):
            fields[field] = getattr(request, field)
    if request.HasField("scheduled_at"):
        try:
            fields["scheduled_at"] = request.scheduled_at.ToJsonString()
        except ValueError:
            raise InvalidField(f"{at}scheduled_at", "is out of range.") from None
    return fields


def _json(request: pb.SubmitTaskRequest, field: str, at: str) -> object:
    """`args` or `kwargs` from its JSON text if that is given, else from its message."""
    text = getattr(request, f"{field}_json")
    if text and request.HasField(field):  # type: ignore[arg-type]
        raise InvalidField(f"{at}{field}_json", f"stands in for {field}; give one of the two.")
    if text:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidField(f"{at}{field}_json", f"is no JSON: {error}.") from None
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    try:
        return _whole_numbers(MessageToDict(getattr(request, field)))
    except ValueError as error:
        raise InvalidField(f"{at}{field}", f"is no JSON: {error}.") from None


def _whole_numbers(value: Any) -> Any:
    """A protobuf Struct knows floats only: 3.0 was 3 in the caller's language."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {key: _whole_numbers(each) for key, each in value.items()}
    return value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _newest(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the newest as fit beside arguments and result in a message of 4 MB."""
    size, kept = 0, list[dict[str, Any]]()
    for entry in reversed(errors):
        size += len(_text(entry).encode())
        if kept and size > _ERRORS_MAX:
            break
        kept.insert(0, entry)
    return kept


def _message(task_id: int) -> pb.Task:
    try:
        task = Task.objects.select_related("created_by").get(pk=task_id)
    except Task.DoesNotExist:
        raise TaskNotFound(task_id) from None
    message = pb.Task(
        id=task.id,
        name=task.name,
        args_json=_text(task.args),
        kwargs_json=_text(task.kwargs),
        queue=task.queue,
        priority=task.priority,
        status=pb.TaskStatus.Value(f"TASK_STATUS_{task.status.upper()}"),
        lease=task.lease,
        attempt=task.attempt,
        max_attempts=task.max_attempts,
        timeout_s=task.timeout_s,
        retry_base_s=task.retry_base_s,
        retry_cap_s=task.retry_cap_s,
        on_lost_contact=task.on_lost_contact,
        worker=task.worker,
        result_json=_text(task.result) if task.status == "complete" else "",
        errors_json=_text(_newest(task.errors)),
        tags=task.tags,
        created_by=task.created_by.get_username() if task.created_by else "",
        reason=why(task) or "",
    )
    for field in (
        "created_at",
        "scheduled_at",
        "picked_at",
        "started_at",
        "completed_at",
        "failed_at",
        "cancelled_at",
    ):
        moment = getattr(task, field)
        if moment is not None:
            stamp = Timestamp()
            stamp.FromDatetime(moment)
            getattr(message, field).CopyFrom(stamp)
    return message
