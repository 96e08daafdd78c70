"""The five actions of `manage.py taskmaster`: the operator's, so nobody's permission is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import QuerySet

from tasks import operations, submission
from tasks.api.filters import TaskFilter
from tasks.api.serializers import OutputSerializer, TaskRowSerializer, TaskSerializer
from tasks.cli import arguments
from tasks.cli.terminal import Printer
from tasks.enqueue import enqueue
from tasks.errors import IllegalTransition, InvalidField, TaskMasterError, TaskNotFound
from tasks.ids import as_id
from tasks.lifecycle import Status
from tasks.models import Task, TaskOutput
from tasks.models.task import command_head
from tasks.reasons import why

#: How often a waiting command looks at its task: soon at first, then every half second.
_FIRST_LOOK_S, _LAST_LOOK_S = 0.02, 0.5
#: What of a shell command a line of the list shows, in characters.
_COMMAND_LENGTH = 60


class NotComplete(TaskMasterError):
    """The task that was waited for ended otherwise, or not in time."""


def submit(options: Mapping[str, Any], out: Printer) -> None:
    """Stores a task; with --wait, shows how it ended. Raises InvalidField, NotComplete."""
    shell = options["shell"] is not None
    if options["name"] is None and not shell:
        raise InvalidField("NAME", "is required, or --shell SCRIPT.")
    deadline_s = _deadline(options)
    fields = arguments.submission_fields(options)
    try:
        new = submission.parse(fields)
    except InvalidField as error:
        raise arguments.as_typed(error, shell=shell) from None
    task_id = enqueue(new)
    if options["wait"]:
        _wait(task_id, deadline_s)
        _print(task_id, options, out)
        if (status := _status(task_id)) != Status.COMPLETE:
            raise NotComplete(f"Task {task_id} is {status}.")
    elif options["json"]:
        out.json(TaskSerializer(_found(task_id)).data)
    else:
        out.line(f"Task {task_id} is stored: {new.name}, queue {new.queue}.")


def list_tasks(options: Mapping[str, Any], out: Printer) -> None:
    """The newest tasks that meet every condition. Raises InvalidField."""
    limit = arguments.limit(options["limit"])
    given = {name: options[name] for name in ("status", "queue", "name", "tag")}
    chosen = TaskFilter(
        {name: value for name, value in given.items() if value is not None},
        queryset=Task.objects.only(*TaskRowSerializer.Meta.fields),
    )
    for field, rules in chosen.errors.items():
        raise InvalidField(f"--{field}", " ".join(map(str, rules)))
    listed = chosen.qs.annotate(command=command_head(_COMMAND_LENGTH))
    tasks: QuerySet[Task] = listed.order_by("-pk")[:limit]
    if options["json"]:
        out.json(TaskRowSerializer(tasks, many=True).data)
    elif rows := list(tasks):
        out.table(rows)
    else:
        out.line("No tasks." if not any(given.values()) else "No such tasks.")


def show(options: Mapping[str, Any], out: Printer) -> None:
    """One task and what it printed. Raises TaskNotFound."""
    _print(_id(options["ids"][0]), options, out)


def cancel(options: Mapping[str, Any], out: Printer) -> None:
    """Each that has not ended. Raises TaskMasterError for the others, when all have been tried."""
    _each(operations.cancel, "cancelled", options, out)


def retry(options: Mapping[str, Any], out: Printer) -> None:
    """Each that failed or was cancelled. Raises as `cancel` does."""
    _each(operations.retry, "pending again", options, out)


def _each(
    change: Callable[[int], None], done: str, options: Mapping[str, Any], out: Printer
) -> None:
    ids = [_id(text) for text in options["ids"]]
    refusals: list[str] = []
    changed: list[int] = []
    for task_id in ids:
        try:
            change(task_id)
        except (TaskNotFound, IllegalTransition) as refusal:
            refusals.append(str(refusal))
        else:
            changed.append(task_id)
            if not options["json"]:
                out.line(f"Task {task_id} is {done}.")
    if options["json"]:
        out.json([TaskSerializer(_found(task_id)).data for task_id in changed])
    if refusals:
        raise TaskMasterError(" ".join(refusals))


def _print(task_id: int, options: Mapping[str, Any], out: Printer) -> None:
    task = _found(task_id)
    chunks = TaskOutput.objects.filter(task_id=task_id).order_by("lease", "seq")
    if options["json"]:
        printed = OutputSerializer(chunks, many=True).data
        out.json({**TaskSerializer(task).data, "output": printed})
    else:
        out.task(task, chunks, why(task))


def _wait(task_id: int, deadline_s: float) -> None:
    until = time.monotonic() + deadline_s
    pause = _FIRST_LOOK_S
    while not (status := _status(task_id)).finished:
        left = until - time.monotonic()
        if left <= 0:
            raise NotComplete(
                f"Task {task_id} is still {status} after {deadline_s:g} s; it goes on. "
                f"See how it ends: manage.py taskmaster show {task_id}"
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LAST_LOOK_S)


def _deadline(options: Mapping[str, Any]) -> float:
    text = options["deadline"]
    if text is None:
        return math.inf
    if not options["wait"]:
        raise InvalidField("--deadline", "goes with --wait.")
    value = arguments.seconds(text)
    if not isinstance(value, float) or not 0 <= value < math.inf:
        raise InvalidField("--deadline", f"is {text!r}; it must be a number of seconds.")
    return value


def _status(task_id: int) -> Status:
    status = Task.objects.filter(pk=task_id).values_list("status", flat=True).first()
    if status is None:
        raise TaskNotFound(task_id)
    return Status(status)


def _found(task_id: int) -> Task:
    task = Task.objects.select_related("created_by").filter(pk=task_id).first()
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidField("ID", f"{text!r} is no id; it is a whole number, see `list`.")
    if (found := as_id(text)) is None:
        raise TaskNotFound(text)
    return found
