"""Implement submit, list, show, cancel and retry.

The command line belongs to the operator, so these actions check no user's permissions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import QuerySet

from taskmaster.tasks import submission, task_actions
from taskmaster.tasks.cli import arguments
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.enqueue import enqueue
from taskmaster.tasks.errors import IllegalTransition, InvalidField, TaskMasterError, TaskNotFound
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.models.task import command_head
from taskmaster.tasks.queries.filters import ListedTaskFilter
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.queries.search import search_limit

#: First and longest interval at which --wait polls the task, in seconds. The interval doubles.
_FIRST_POLL_S, _LONGEST_POLL_S = 0.02, 0.5
#: Maximum length of a shell command in the list, in characters.
_COMMAND_LENGTH = 60


class NotComplete(TaskMasterError):
    """Report that the awaited task ended in another status, or exceeded the deadline."""


def submit(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Store a task; with --wait, show its result. Raises InvalidField, NotComplete."""
    shell = options["shell"] is not None
    if options["name"] is None and not shell:
        raise InvalidField(
            "NAME", "is required; give the name of a registered task, or --shell SCRIPT."
        )
    deadline_s = _deadline(options)
    fields = arguments.submission_fields(options)
    try:
        new = submission.parse(fields)
    except InvalidField as error:
        raise arguments.with_option_name(error, shell=shell) from None
    task_id = enqueue(new)
    if options["wait"]:
        if new.notice and not options["json"]:
            out.line(new.notice)
        _wait(task_id, deadline_s)
        _print(task_id, options, out, new.notice)
        if (status := _status(task_id)) != Status.COMPLETE:
            raise NotComplete(f"Task {task_id} is {status}.")
    elif options["json"]:
        out.json({**_serialize(_get_task(task_id)), **_notice_field(new.notice)})
    else:
        out.line(f"Submitted task {task_id}: {new.name}, queue {new.queue}.")
        if new.notice:
            out.line(new.notice)


def list_tasks(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """List the newest tasks that match every filter. Raises InvalidField."""
    limit = arguments.limit(options["limit"])
    given = {name: options[name] for name in ("status", "queue", "name", "tag", "schedule", "q")}
    filterset = ListedTaskFilter(
        {name: value for name, value in given.items() if value is not None},
        queryset=Task.objects.defer("args", "kwargs", "result", "errors"),
    )
    for field, rules in filterset.errors.items():
        raise InvalidField(f"--{field}", " ".join(map(str, rules)))
    listed = filterset.qs.annotate(command=command_head(_COMMAND_LENGTH))
    tasks: QuerySet[Task] = listed.order_by("-pk")[:limit]
    if options["json"]:
        from taskmaster.tasks.api.serializers import TaskRowSerializer

        out.json(TaskRowSerializer(tasks, many=True).data)
    elif rows := list(tasks):
        out.table(rows)
    else:
        limit_text = search_limit(given["q"]) if given["q"] else ""
        match = f"No tasks match {limit_text}".rstrip() + "."
        out.line(match if any(given.values()) else "No tasks.")


def show(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Show one task and its output. Raises TaskNotFound."""
    _print(_parse_id(options["ids"][0]), options, out)


def cancel(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Cancel the tasks that have not ended.

    Tries every id first, then raises TaskMasterError if any was refused.
    """
    _apply_to_each(task_actions.cancel, "cancelled", options, out)


def retry(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Retry the tasks that failed or were cancelled. Raises TaskMasterError as `cancel` does."""
    _apply_to_each(task_actions.retry, "pending again", options, out)


def _apply_to_each(
    change: Callable[[int], None], done: str, options: Mapping[str, Any], out: TerminalPrinter
) -> None:
    ids = [_parse_id(text) for text in options["ids"]]
    errors: list[str] = []
    changed: list[int] = []
    for task_id in ids:
        try:
            change(task_id)
        except (TaskNotFound, IllegalTransition) as error:
            errors.append(str(error))
        else:
            changed.append(task_id)
            if not options["json"]:
                out.line(f"Task {task_id} is {done}.")
    if options["json"]:
        out.json([_serialize(_get_task(task_id)) for task_id in changed])
    if errors:
        raise TaskMasterError(" ".join(errors))


def _print(
    task_id: int, options: Mapping[str, Any], out: TerminalPrinter, notice: str = ""
) -> None:
    task = _get_task(task_id)
    chunks = TaskOutput.objects.filter(task_id=task_id).order_by("lease", "seq")
    if options["json"]:
        from taskmaster.tasks.api.serializers import OutputSerializer

        printed = OutputSerializer(chunks, many=True).data
        out.json({**_serialize(task), "output": printed, **_notice_field(notice)})
    else:
        out.task(task, chunks, explain_pending(task))


def _notice_field(notice: str) -> dict[str, str]:
    return {"notice": notice} if notice else {}


def _serialize(task: Task) -> Mapping[str, Any]:
    """Return the task as REST shows it."""
    from taskmaster.tasks.api.serializers import TaskSerializer

    return TaskSerializer(task).data


def _wait(task_id: int, deadline_s: float) -> None:
    until = time.monotonic() + deadline_s
    pause = _FIRST_POLL_S
    while not (status := _status(task_id)).finished:
        left = until - time.monotonic()
        if left <= 0:
            raise NotComplete(
                f"Task {task_id} is still {status} after {deadline_s:g} s. It was not cancelled; "
                f"run `manage.py taskmaster show {task_id}` to see its result."
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_POLL_S)


def _deadline(options: Mapping[str, Any]) -> float:
    text = options["deadline"]
    if text is None:
        return math.inf
    if not options["wait"]:
        raise InvalidField("--deadline", "requires --wait.")
    value = arguments.seconds(text)
    if not isinstance(value, float) or not 0 <= value < math.inf:
        raise InvalidField("--deadline", f"is {text!r}; it must be a number of seconds.")
    return value


def _status(task_id: int) -> Status:
    status = Task.objects.filter(pk=task_id).values_list("status", flat=True).first()
    if status is None:
        raise TaskNotFound(task_id)
    return Status(status)


def _get_task(task_id: int) -> Task:
    task = Task.objects.select_related("created_by").filter(pk=task_id).first()
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidField("ID", f"is {text!r}; it must be a whole number. Use `list` to find ids.")
    if (found := parse_id(text)) is None:
        raise TaskNotFound(text)
    return found
