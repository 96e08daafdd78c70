"""Reconstruct the attempts and the timeline of a task from its row and its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task

#: Colour tokens of attempts that did not fail, by the status of the task.
_KINDS = {
    Status.STARTED: "running",
    Status.COMPLETE: "complete",
    Status.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """Describe one accepted execution.

    `started` and `ended` are None if the time is not stored. `ended` is None while it runs.
    """

    number: int
    worker: str
    #: The colour token of its state.
    kind: str
    #: The outcome as text, with the exception or the exit code.
    outcome: str
    started: datetime | None = None
    ended: datetime | None = None
    #: The traceback, or the error message without one.
    details: str = ""


@dataclass(frozen=True, slots=True)
class TimelineSpan:
    """Describe a part of a task's timeline: the time until it was due, a wait, or one attempt."""

    kind: str
    label: str
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Return the duration in seconds."""
        return (self.end - self.begin).total_seconds()


def describe_failure(entry: dict[str, Any]) -> str:
    """Return the outcome of a failed attempt: `raised (ValueError)`, `exit code (2)`, `lost`."""
    label = str(entry.get("class", "failed")).replace("_", " ")
    detail = entry.get("exception") or entry.get("code")
    return f"{label} ({detail})" if detail is not None else label


def attempts(task: Task, starts: Sequence[datetime] = ()) -> list[AttemptRecord]:
    """Return all attempts, oldest first. `starts` holds the known start times of attempts."""
    found = []
    before: datetime | None = None
    for entry in task.errors:
        number, end = int(entry.get("attempt") or 0), _time(entry.get("at"))
        started = task.started_at if number == task.attempt else _last_start(starts, before, end)
        found.append(
            AttemptRecord(
                number=number,
                worker=str(entry.get("worker") or ""),
                kind="cancelled" if entry.get("class") == "cancelled" else "failed",
                outcome=describe_failure(entry),
                # A later start than the end belongs to a newer execution, after a release.
                started=started if started and end and started <= end else None,
                ended=end,
                details=str(entry.get("traceback") or entry.get("message") or ""),
            )
        )
        before = end or before
    recorded = found[-1].number if found else 0
    kind = _KINDS.get(Status(task.status))
    if task.attempt > recorded and kind and task.started_at:
        outcome = {"running": "running", "complete": "returned"}.get(kind, "cancelled")
        found.append(
            AttemptRecord(
                task.attempt, task.worker, kind, outcome, task.started_at, task.finished_at
            )
        )
    return found


def spans(task: Task, records: Sequence[AttemptRecord], now: datetime) -> list[TimelineSpan]:
    """Return the timeline from the task's creation to its end, or to `now`, without gaps."""
    found: list[TimelineSpan] = []
    at = task.created_at

    def until(kind: str, label: str, end: datetime) -> None:
        nonlocal at
        if end > at:
            found.append(TimelineSpan(kind, label, at, end))
            at = end

    # A retry overwrites `scheduled_at`, so the first due time is known only before a retry.
    if not records or (len(records) == 1 and records[0].kind != "failed"):
        until("planned", "until it was due", min(task.scheduled_at, now))
    for attempt in records:
        label = f"attempt {attempt.number}"
        if attempt.started:
            until("pending", "waiting", attempt.started)
        else:
            label += ", with the wait before it"
        until(attempt.kind, label, attempt.ended or now)
    if not Status(task.status).finished:
        if task.scheduled_at > at:
            until("planned", "pause", min(task.scheduled_at, now))
        until("pending", "waiting", now)
    elif task.finished_at:
        until("planned", "waiting", task.finished_at)
    return found


def _time(value: object) -> datetime | None:
    return parse_datetime(value) if isinstance(value, str) else None


def _last_start(
    starts: Sequence[datetime], after: datetime | None, before: datetime | None
) -> datetime | None:
    """Return the last start between the ends of two attempts, or None."""
    fitting = [
        start
        for start in starts
        if (after is None or start >= after) and (before is None or start <= before)
    ]
    return max(fitting, default=None)
