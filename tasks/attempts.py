"""The attempts of a task and where its time went, from what its row and its events tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from tasks.lifecycle import Status
from tasks.models import Task

#: The colour token of an attempt by its outcome, where it did not fail.
_KINDS = {
    Status.STARTED: "running",
    Status.COMPLETE: "complete",
    Status.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accepted execution. `started` and `ended` are None where that is not kept, or not yet."""

    number: int
    worker: str
    #: The colour token of how it stands.
    kind: str
    #: How it ended in words, with what it raised or returned to the system.
    outcome: str
    started: datetime | None = None
    ended: datetime | None = None
    #: The traceback, or the message where there is none.
    details: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a task's life: until it was due, waiting, or one attempt."""

    kind: str
    label: str
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.end - self.begin).total_seconds()


def ended(entry: dict[str, Any]) -> str:
    """How a failed attempt ended, in words: `raised (ValueError)`, `exit code (2)`, `lost`."""
    words = str(entry.get("class", "failed")).replace("_", " ")
    detail = entry.get("exception") or entry.get("code")
    return f"{words} ({detail})" if detail is not None else words


def attempts(task: Task, starts: Sequence[datetime] = ()) -> list[Attempt]:
    """All attempts, oldest first. `starts`: when attempts of this task began, as far as known."""
    found = []
    before: datetime | None = None
    for entry in task.errors:
        number, end = int(entry.get("attempt") or 0), _time(entry.get("at"))
        started = task.started_at if number == task.attempt else _last(starts, before, end)
        found.append(
            Attempt(
                number=number,
                worker=str(entry.get("worker") or ""),
                kind="cancelled" if entry.get("class") == "cancelled" else "failed",
                outcome=ended(entry),
                # A release and a new start may have come since.
                started=started if started and end and started <= end else None,
                ended=end,
                details=str(entry.get("traceback") or entry.get("message") or ""),
            )
        )
        before = end or before
    told = found[-1].number if found else 0
    kind = _KINDS.get(Status(task.status))
    if task.attempt > told and kind and task.started_at:
        outcome = {"running": "running", "complete": "returned"}.get(kind, "cancelled")
        found.append(
            Attempt(task.attempt, task.worker, kind, outcome, task.started_at, task.finished_at)
        )
    return found


def spans(task: Task, of: Sequence[Attempt], now: datetime) -> list[Span]:
    """The life of the task from its creation to its end, or to now, without a gap."""
    found: list[Span] = []
    at = task.created_at

    def until(kind: str, label: str, end: datetime) -> None:
        nonlocal at
        if end > at:
            found.append(Span(kind, label, at, end))
            at = end

    # The time of a retry takes the place of the first one.
    if not of or (len(of) == 1 and of[0].kind != "failed"):
        until("planned", "until it was due", min(task.scheduled_at, now))
    for attempt in of:
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


def _last(
    starts: Sequence[datetime], after: datetime | None, before: datetime | None
) -> datetime | None:
    """The last start between the ends of two attempts."""
    fitting = [
        start
        for start in starts
        if (after is None or start >= after) and (before is None or start <= before)
    ]
    return max(fitting, default=None)
