"""Reconstruct the attempts of a task from its row, and lay them out on one axis of time.

Every time is stored: `due`, `started` and `at` in each entry of `errors`, and the columns of the
task for its newest attempt. Only the times of parking come from events, which are pruned: a task
that leaves parking gets a new due time, and would seem not to have been due before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task

#: Colour tokens of attempts that did not fail, by the status of the task.
_KINDS = {Status.STARTED: "running", Status.COMPLETE: "complete"}
_NOT_STARTED = frozenset({Status.WAITING, Status.PENDING, Status.PICKED})
#: Width of the axis in SVG units, and the least width of an execution, so that it stays visible.
AXIS_WIDTH, _LEAST_WIDTH = 1_000.0, 4.0
#: Time until the first claim of a task that is due immediately.
_FIRST_CLAIM = timedelta(seconds=1)
#: Labels below the axis, at equal distances.
_TICKS = 3


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """Describe an attempt: one that was accepted, or the next one.

    `started` is None if the attempt has not started or the time is not stored. `ended` is None
    until the end.
    """

    number: int
    worker: str
    #: The colour token of its state.
    kind: str
    #: The outcome as text, with the exception or the exit code.
    outcome: str
    due: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    #: The entry of `errors`, if there is one.
    error: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Return how it ended in one word. A lost attempt has the colour of a failed one."""
        return "lost" if self.error.get("class") == "lost" else self.kind

    @property
    def details(self) -> str:
        """Return the traceback, or the error message without one."""
        return str(self.error.get("traceback") or self.error.get("message") or "")

    @property
    def run_s(self) -> float | None:
        """Return how long it ran in seconds, or None if a time is not known."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.started).total_seconds())


@dataclass(frozen=True, slots=True)
class TimelinePart:
    """Place a part of an attempt on the axis: `pause` (not due), `wait`, or the execution."""

    kind: str
    label: str
    x: float
    width: float

    @property
    def end(self) -> float:
        """Return where the part ends on the axis."""
        return self.x + self.width


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """Hold an attempt and its parts."""

    attempt: AttemptRecord
    parts: list[TimelinePart]

    @property
    def label(self) -> str:
        """Return the parts as one sentence."""
        return "; ".join(part.label for part in self.parts) or "no time is stored"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Hold the rows of all attempts, the labels of the axis, and the sums in seconds."""

    begin: datetime
    end: datetime
    rows: list[TimelineRow]
    ticks: list[datetime]
    #: Seconds in which the task was not due, waited, and ran, in this order.
    totals: tuple[float, float, float]

    @property
    def seconds(self) -> float:
        """Return the length of the axis."""
        return (self.end - self.begin).total_seconds()


def describe_failure(entry: dict[str, Any]) -> str:
    """Return the outcome of a failed attempt: `raised (ValueError)`, `exit code (2)`, `lost`."""
    label = str(entry.get("class", "failed")).replace("_", " ")
    detail = entry.get("exception") or entry.get("code")
    return f"{label} ({detail})" if detail is not None else label


def attempts(task: Task) -> list[AttemptRecord]:
    """Return all attempts, oldest first, with the one that runs or comes next."""
    found = [_recorded(entry) for entry in task.errors]
    newest = _newest(task, found)
    return [*found, newest] if newest else found


def _recorded(entry: dict[str, Any]) -> AttemptRecord:
    return AttemptRecord(
        number=int(entry.get("attempt") or 0),
        worker=str(entry.get("worker") or ""),
        kind="cancelled" if entry.get("class") == "cancelled" else "failed",
        outcome=describe_failure(entry),
        due=_time(entry.get("due")),
        started=_time(entry.get("started")),
        ended=_time(entry.get("at")),
        error=entry,
    )


def _newest(task: Task, recorded: Sequence[AttemptRecord]) -> AttemptRecord | None:
    """Return the attempt that has no entry in `errors`, if there is one."""
    status = Status(task.status)
    if kind := _KINDS.get(status):
        outcome = "running" if kind == "running" else "returned"
        return AttemptRecord(
            task.attempt, task.worker, kind, outcome,
            task.scheduled_at, task.started_at, task.finished_at,
        )  # fmt: skip
    following = task.attempt + 1
    if status in _NOT_STARTED:
        return AttemptRecord(following, "", "pending", "waiting", task.scheduled_at)
    if status == Status.CANCELLED and not (recorded and recorded[-1].ended == task.cancelled_at):
        return AttemptRecord(
            following, "", "cancelled", "cancelled before it started",
            task.scheduled_at, None, task.cancelled_at,
        )  # fmt: skip
    return None


def timeline(
    task: Task,
    records: Sequence[AttemptRecord],
    now: datetime,
    parked: Sequence[datetime] = (),
) -> Timeline:
    """Lay out the attempts from the creation of the task to its end, to now or to its due time.

    `parked` holds the known times at which the task was parked.
    """
    begin = task.created_at
    end = task.finished_at or max(now, task.scheduled_at)
    axis = _Axis(begin, max(end, begin + timedelta(milliseconds=1)))
    before = begin
    rows = []
    for record in records:
        shown = replace(record, due=_first_due(record.due, before, parked))
        rows.append(TimelineRow(record, axis.parts(shown, before, now)))
        before = record.ended or before
    step = (axis.end - begin) / (_TICKS - 1)
    ticks = [begin + step * index for index in range(_TICKS)]
    return Timeline(begin, axis.end, rows, ticks, (axis.paused_s, axis.waited_s, axis.ran_s))


def _first_due(
    due: datetime | None, before: datetime, parked: Sequence[datetime]
) -> datetime | None:
    """Return when an attempt was due for the first time. A task is parked when it is due."""
    if due is None:
        return None
    first = min((each for each in parked if before <= each < due), default=due)
    # Due immediately, and parked by the first claim.
    return before if first < due and first - before < _FIRST_CLAIM else first


class _Axis:
    """Convert times to places, and sum up the parts."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self.begin, self.end = begin, end
        self._scale = AXIS_WIDTH / (end - begin).total_seconds()
        self.paused_s = self.waited_s = self.ran_s = 0.0

    def parts(self, record: AttemptRecord, before: datetime, now: datetime) -> list[TimelinePart]:
        """Return the parts of an attempt. `before` is the end of the previous one."""
        parts: list[TimelinePart] = []
        due = max(before, record.due) if record.due else before
        until = record.started or record.ended or max(now, due)
        if record.started is None and record.kind == "failed":
            # Earlier versions stored no start in an entry.
            return [self._part(record.kind, "its start is not stored", until, until)]
        if record.due and (paused := _seconds(before, min(due, until))) > 0:
            self.paused_s += min(paused, _seconds(before, now))
            parts.append(
                self._part("pause", f"not due for {precise(paused)}", before, min(due, until))
            )
        if (waited := _seconds(due, min(until, now) if record.started is None else until)) > 0:
            self.waited_s += waited
            parts.append(self._part("wait", f"waited {precise(waited)}", due, until))
        if record.started:
            ended = record.ended or max(now, record.started)
            self.ran_s += _seconds(record.started, ended)
            label = f"ran {precise(_seconds(record.started, ended))}, {record.outcome}"
            parts.append(self._part(record.kind, label, record.started, ended))
        return parts

    def _part(self, kind: str, label: str, begin: datetime, end: datetime) -> TimelinePart:
        x = min(AXIS_WIDTH - _LEAST_WIDTH, _seconds(self.begin, begin) * self._scale)
        width = max(_LEAST_WIDTH, _seconds(begin, end) * self._scale)
        return TimelinePart(kind, label, round(x, 1), round(min(width, AXIS_WIDTH - x), 1))


def precise(seconds: float) -> str:
    """Return a duration with its two largest units: 3 ms, 30.0 s, 1 min 30 s, 3 h 12 min."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part_size, part_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())


def _time(value: object) -> datetime | None:
    return parse_datetime(value) if isinstance(value, str) else None
