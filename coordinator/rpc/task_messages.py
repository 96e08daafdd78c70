"""Convert between the messages of TaskService and the tasks of the domain."""

from __future__ import annotations

import json
from typing import Any, Final

from django.db.models import TextField
from django.db.models.functions import Cast
from google.protobuf.timestamp_pb2 import Timestamp

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks import submission
from taskmaster.tasks.errors import InvalidField, TaskNotFound
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.pending_reason import explain_pending

#: Most bytes of a task's errors in a message. By default a gRPC client accepts messages up to 4 MB.
_ERRORS_MAX = 1_000_000
#: Fields of a submission that a client may leave out.
_OPTIONAL: Final = (
    "queue",
    "priority",
    "max_attempts",
    "timeout_s",
    "retry_base_s",
    "retry_cap_s",
    "on_lost_contact",
)


def parse_submission(request: pb.SubmitTaskRequest, *, at: str = "") -> NewTask:
    """Return the validated task of a submission. Raises a subclass of TaskMasterError.

    `at` is the prefix of field names in errors.
    """
    try:
        return submission.parse(_fields(request, at), at=at)
    except InvalidField as error:
        as_text = [field for field in ("args", "kwargs") if getattr(request, f"{field}_json")]
        names = {f"{at}{field}": f"{at}{field}_json" for field in as_text}
        raise error.renamed(names) from None


def parse_submissions(request: pb.SubmitTasksRequest, start: int) -> list[NewTask]:
    """Return the validated tasks of one chunk. `start` is the index of its first task."""
    return [
        parse_submission(each, at=f"tasks[{index}].")
        for index, each in enumerate(request.tasks, start)
    ]


def _fields(request: pb.SubmitTaskRequest, at: str) -> dict[str, object]:
    """Return the fields of a submission for validation, without those that were not given.

    Protobuf cannot distinguish an empty list of tags from an absent one.
    """
    fields: dict[str, object] = {
        "name": request.name or None,
        "args": _json(request, "args_json", at),
        "kwargs": _json(request, "kwargs_json", at),
        "tags": list(request.tags) or None,
    }
    for field in _OPTIONAL:
        if request.HasField(field):
            fields[field] = getattr(request, field)
    if request.HasField("scheduled_at"):
        try:
            fields["scheduled_at"] = request.scheduled_at.ToJsonString()
        except ValueError:
            raise InvalidField(f"{at}scheduled_at", "is out of range.") from None
    return fields


def _json(request: pb.SubmitTaskRequest, field: str, at: str) -> object:
    """Return the value of `args_json` or `kwargs_json`. Raises InvalidField for invalid JSON."""
    text = getattr(request, field)
    if not text:
        return None
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidField(f"{at}{field}", "is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise InvalidField(f"{at}{field}", f"is not valid JSON: {error}.") from None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _newest_errors(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest errors that fit into _ERRORS_MAX bytes, at least one.

    The limit leaves space for arguments and result in a message of 4 MB.
    """
    size, kept = 0, list[dict[str, Any]]()
    for entry in reversed(errors):
        size += len(_text(entry).encode())
        if kept and size > _ERRORS_MAX:
            break
        kept.insert(0, entry)
    return kept


def task_message(task_id: int) -> pb.Task:
    """Return the message of a stored task. Raises TaskNotFound.

    Arguments and result are read as text, as they are stored.
    """
    tasks = Task.objects.select_related("created_by").defer("args", "kwargs", "result")
    tasks = tasks.annotate(
        args_json=Cast("args", TextField()),
        kwargs_json=Cast("kwargs", TextField()),
        result_json=Cast("result", TextField()),
    )
    try:
        task = tasks.get(pk=task_id)
    except Task.DoesNotExist:
        raise TaskNotFound(task_id) from None
    message = pb.Task(
        id=task.id,
        name=task.name,
        args_json=task.args_json,
        kwargs_json=task.kwargs_json,
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
        result_json=(task.result_json or "null") if task.status == "complete" else "",
        errors_json=_text(_newest_errors(task.errors)),
        tags=task.tags,
        created_by=task.created_by.get_username() if task.created_by else "",
        reason=explain_pending(task) or "",
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
