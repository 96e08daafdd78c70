"""What the activity log says of each change, for a person."""

from __future__ import annotations

import json
from collections.abc import Callable

from tasks.bulk.actions import Action
from tasks.bulk.changes import Handled
from tasks.bulk.chunk import Turn
from tasks.events.event import Kind, NewEvent
from tasks.lifecycle import Status
from tasks.reports import Changed, Claimed, Completion, Failure, Start, Written
from tasks.templatetags.taskmaster import duration

#: How an attempt ended, where the word of the database is not a sentence's.
_ENDS = {"exit_code": "exit code", "out_of_memory": "out of memory", "timeout": "time-out"}
_MESSAGE_MAX = 160


def picked(task: Claimed, _report: None) -> NewEvent:
    """A coordinator claimed it."""
    text = f"claimed, due in {duration(task.due_in_s)}" if task.due_in_s > 0 else "claimed"
    return NewEvent(Kind.PICKED, text, task.task_id, task.name, task.queue)


def started(row: Written, report: Start) -> NewEvent:
    """A worker began it."""
    return NewEvent(
        Kind.STARTED,
        f"on {report.worker}, attempt {report.attempt}",
        row.task_id,
        row.name,
        row.queue,
        report.worker,
        report.worker_id,
    )


def complete(row: Written, report: Completion) -> NewEvent:
    """It returned."""
    run = duration(max(0.0, report.started_age_s - report.finished_age_s))
    return NewEvent(
        Kind.COMPLETE,
        f"on {report.worker} in {run}",
        row.task_id,
        row.name,
        row.queue,
        report.worker,
        report.worker_id,
    )


def failed(row: Changed, report: Failure) -> NewEvent:
    """It did not return: for good, or the next attempt follows."""
    error = json.loads(report.error)
    kind = error.get("exception") or _ENDS.get(error["class"], error["class"])
    message = " ".join(str(error.get("message", "")).split())[:_MESSAGE_MAX]
    # builtins.ValueError says no more than the message that begins with ValueError.
    named = kind.rpartition(".")[2] in message
    why = message if named else f"{kind}: {message}".rstrip(": ")
    tries = f"attempt {row.attempt} of {row.max_attempts}"
    if row.status == Status.FAILED:
        return _of(row, Kind.FAILED, f"{why} ({tries}, on {row.worker})")
    pause = duration(max(0.0, row.due_in_s))
    return _of(row, Kind.RETRIED, f"{why} ({tries}, on {row.worker}); the next in {pause}")


def rescued(row: Changed, _report: None) -> NewEvent:
    """Its worker was lost."""
    if row.status == Status.FAILED:
        text = f"{row.worker} was lost with the last of {row.max_attempts} attempts"
        return _of(row, Kind.FAILED, text)
    pause = duration(max(0.0, row.due_in_s))
    text = f"{row.worker} lost; attempt {row.attempt + 1} of {row.max_attempts} in {pause}"
    return _of(row, Kind.RESCUED, text)


def released(row: Changed, _report: None) -> NewEvent:
    """Nobody accepted it, or its worker handed it back."""
    return _of(row, Kind.RELEASED, "back in the queue")


def operated(turn: Turn) -> Callable[[Handled, None], NewEvent]:
    """An operation changed it."""
    by = f" by {turn.by}" if turn.by else ""

    def say(row: Handled, _report: None) -> NewEvent:
        if turn.action is Action.CANCEL:
            kind, text = Kind.CANCELLED, f"cancelled{by}"
        elif turn.action is Action.RETRY:
            kind, text = Kind.SUBMITTED, f"again, after it was {row.before}{by}"
        else:
            kind, text = Kind.SUBMITTED, f"made due now{by}"
        return NewEvent(kind, text, row.task_id, row.name, row.queue, user=turn.by)

    return say


def _of(row: Changed, kind: Kind, text: str) -> NewEvent:
    return NewEvent(kind, text, row.task_id, row.name, row.queue, row.worker, row.worker_id)
