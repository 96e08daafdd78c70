"""Build the events of the activity log, with a text for people, from rows and reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from taskmaster.tasks.bulk.runner import ChunkResult
from taskmaster.tasks.bulk_actions import Action
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import (
    ChangedTask,
    ClaimedTask,
    Completion,
    Failure,
    RecordedAttempt,
    Start,
    TaskChange,
)
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.schedule_messages import StoredRun
from taskmaster.tasks.templatetags.taskmaster import duration
from taskmaster.workers.models import WorkerEnd

#: Texts for exit classes whose stored name is not readable in a sentence.
_EXIT_CLASSES = {"exit_code": "exit code", "out_of_memory": "out of memory", "timeout": "time-out"}
_MESSAGE_MAX = 160
#: How a worker has ended, as the text of its event.
WORKER_ENDS: dict[str, str] = {
    WorkerEnd.DRAINED: "was drained and left",
    WorkerEnd.STOPPED: "stopped",
    WorkerEnd.KILLED: "was killed by an operator",
    WorkerEnd.LOST: "was lost",
}

#: What happened to a due time that a person must know about, as the text of its event.
_UNEXPECTED: dict[str, str] = {
    RunState.MISSED: "missed a run",
    RunState.OUTSIDE_WINDOW: "missed a run",
    RunState.REFUSED: "refused a run",
}


def picked(task: ClaimedTask, _report: None) -> NewEvent:
    """Build the event of a claimed task."""
    text = f"claimed, due in {duration(task.due_in_s)}" if task.due_in_s > 0 else "claimed"
    return NewEvent(EventKind.PICKED, text, task.task_id, task.name, task.queue)


def started(row: RecordedAttempt, report: Start) -> NewEvent:
    """Build the event of a started attempt."""
    return NewEvent(
        EventKind.STARTED,
        f"on {report.worker}, attempt {report.attempt}",
        row.task_id,
        row.name,
        row.queue,
        report.worker,
        report.worker_id,
    )


def complete(row: RecordedAttempt, report: Completion) -> NewEvent:
    """Build the event of a completed task, with its run time."""
    run = duration(max(0.0, report.started_age_s - report.finished_age_s))
    return NewEvent(
        EventKind.COMPLETE,
        f"on {report.worker} in {run}",
        row.task_id,
        row.name,
        row.queue,
        report.worker,
        report.worker_id,
    )


def failed(row: TaskChange, report: Failure) -> NewEvent:
    """Build the event of a failed attempt. The task has failed or will be retried."""
    error = json.loads(report.error)
    name = error.get("exception") or _EXIT_CLASSES.get(error["class"], error["class"])
    message = " ".join(str(error.get("message", "")).split())[:_MESSAGE_MAX]
    # Leave out `builtins.ValueError` if the message already contains `ValueError`.
    named = name.rpartition(".")[2] in message
    reason = message if named else f"{name}: {message}".rstrip(": ")
    # A task that no worker can receive has no worker.
    where = f", on {row.worker}" if row.worker else ""
    tries = f"attempt {row.attempt} of {row.max_attempts}{where}"
    if row.status == Status.FAILED:
        return _of(row, EventKind.FAILED, f"{reason} ({tries})")
    pause = duration(max(0.0, row.due_in_s))
    return _of(row, EventKind.RETRIED, f"{reason} ({tries}); next attempt in {pause}")


def rescued(row: TaskChange, _report: None) -> NewEvent:
    """Build the event of a task whose worker was lost."""
    if row.status == Status.FAILED:
        text = f"{row.worker} was lost; all {row.max_attempts} attempts are used"
        return _of(row, EventKind.FAILED, text)
    pause = duration(max(0.0, row.due_in_s))
    text = f"{row.worker} was lost; attempt {row.attempt + 1} of {row.max_attempts} in {pause}"
    return _of(row, EventKind.RESCUED, text)


def released(row: TaskChange, _report: None) -> NewEvent:
    """Build the event of a released task. No worker accepted it, or a worker handed it back."""
    return _of(row, EventKind.RELEASED, "returned to the queue")


def parked(row: TaskChange, _report: None) -> NewEvent:
    """Build the event of a parked task."""
    return _of(row, EventKind.PARKED, "no connected worker knows it")


def unparked(row: TaskChange, _report: None) -> NewEvent:
    """Build the event of a task that was parked and can run now."""
    return _of(row, EventKind.RELEASED, "a worker that knows it has connected")


def changed_in_bulk(chunk: ChunkResult) -> Callable[[ChangedTask, None], NewEvent]:
    """Return a function that builds the event of a task that a bulk operation has changed."""
    by = f" by {chunk.by}" if chunk.by else ""

    def build(row: ChangedTask, _report: None) -> NewEvent:
        if chunk.action is Action.CANCEL:
            kind, text = EventKind.CANCELLED, f"cancelled{by}"
        elif chunk.action is Action.RETRY:
            kind, text = EventKind.SUBMITTED, f"retried (was {row.before}){by}"
        elif chunk.action is Action.BACKFILL:
            text = f"to {row.queue}{by}, back-filling schedule {chunk.schedule}"
            kind = EventKind.SUBMITTED
        else:
            kind, text = EventKind.SUBMITTED, f"made due now{by}"
        return NewEvent(kind, text, row.task_id, row.name, row.queue, user=chunk.by)

    return build


def submitted_by_schedule(names: Mapping[int, str]) -> Callable[[ChangedTask, None], NewEvent]:
    """Return a function that builds the event of a task that a schedule submitted.

    `names` has the name of the schedule for each task.
    """

    def build(row: ChangedTask, _report: None) -> NewEvent:
        text = f"to {row.queue} by schedule {names[row.task_id]}"
        return NewEvent(EventKind.SUBMITTED, text, row.task_id, row.name, row.queue)

    return build


def cancelled_by_schedule(row: ChangedTask, _report: None) -> NewEvent:
    """Build the event of a task that the next run of its schedule replaced."""
    text = "cancelled by the next run of its schedule"
    return NewEvent(EventKind.CANCELLED, text, row.task_id, row.name, row.queue)


def run_without_task(run: StoredRun, name: str) -> NewEvent | None:
    """Build the event of a due time that a person must know about, or None.

    It names the schedule, and no reason: readers of events need no permission to view schedules.
    """
    text = _UNEXPECTED.get(run.state)
    return None if text is None else NewEvent(EventKind.SCHEDULE, f"{text} of schedule {name}")


def _of(row: TaskChange, kind: EventKind, text: str) -> NewEvent:
    return NewEvent(kind, text, row.task_id, row.name, row.queue, row.worker, row.worker_id)
