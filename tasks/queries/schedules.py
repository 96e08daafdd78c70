"""Read schedules for pages and interfaces: their states, and the outcomes of their newest runs.

A page of the list needs four statements, whatever the number of its schedules: the states of all,
the rows of the page, the newest runs of these rows, and their runs that were created ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from operator import attrgetter

from django.db.models import Min
from django.db.models.functions import Now

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import ListedRun, ListedSchedule
from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun, Task
from taskmaster.tasks.models.schedule import RunKind, RunState
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.store import schedule_lists as store

#: A schedule is late if a due run has no task, or its task has not started, after this time.
LATE_S = 10.0
#: Number of outcomes that a row of the list shows, and number of rows of a page.
OUTCOMES, PAGE_ROWS = 30, 50
#: The leader stores the time of its search once a minute when it is idle. Three are missing.
SEARCH_SILENT_S = 180.0
#: Number of late rows of a page whose reason is read from the figures of the queue.
_EXPLAINED = 5


class ScheduleState(StrEnum):
    """List the states of a schedule, as statement `list_schedule_states` computes them."""

    ON_TIME = "on time"
    RUNNING = "running"
    #: A due run has no task or its task has not started, or the newest due time was missed.
    LATE = "late"
    #: The newest run failed or was refused.
    FAILED = "failed"
    PAUSED = "paused"
    ENDED = "ended"


#: The views of the list: label, value of the filter, state.
VIEWS = (
    ("All", "", None),
    ("Late", "late", ScheduleState.LATE),
    ("Last failed", "failed", ScheduleState.FAILED),
    ("Paused", "paused", ScheduleState.PAUSED),
    ("Ended", "ended", ScheduleState.ENDED),
)

#: Colour token, icon and name of a run with a task, by the status of the task.
_RAN = {
    Status.COMPLETE: ("complete", "complete", "complete"),
    Status.FAILED: ("failed", "failed", "failed"),
    Status.CANCELLED: ("cancelled", "cancelled", "cancelled"),
    Status.STARTED: ("running", "running", "running"),
}
_PENDING = ("pending", "pending", "pending")
_DELETED = ("cancelled", "unknown", "task deleted")
#: The same for a run without a task.
_DID_NOT_RUN = {
    RunState.QUEUED: ("pending", "pending", "queued"),
    RunState.PAUSED: ("operator", "pause", "paused"),
    RunState.SKIPPED: ("operator", "skip", "skipped"),
    RunState.OVERLAP: ("cancelled", "skip", "overlap"),
    RunState.MISSED: ("pending", "skip", "missed"),
    RunState.OUTSIDE_WINDOW: ("pending", "skip", "missed"),
    RunState.REFUSED: ("failed", "failed", "refused"),
    RunState.WITHDRAWN: ("cancelled", "cancelled", "withdrawn"),
}


@dataclass(frozen=True, slots=True)
class ShownRun:
    """Hold a run with its colour token, its icon, and its outcome in one word."""

    row: ListedRun
    kind: str
    icon: str
    word: str

    @property
    def ran(self) -> bool:
        """Return whether the run has a task whose state is known."""
        return self.row.status is not None

    @property
    def bar(self) -> str:
        """Return the class of its bar."""
        return self.kind if self.ran else "none"

    @property
    def is_offered(self) -> bool:
        """Return whether it is a single due time without a task, which a user can run now."""
        return (
            self.row.kind == RunKind.SCHEDULED
            and self.row.task_id is None
            and self.row.times == 1
            and self.row.state != RunState.QUEUED
        )

    @property
    def run_s(self) -> float | None:
        """Return the run time of the newest attempt in seconds, or None if it has not ended."""
        if self.row.started_at is None or self.row.finished_at is None:
            return None
        return max(0.0, (self.row.finished_at - self.row.started_at).total_seconds())

    @property
    def late_s(self) -> float | None:
        """Return the seconds from its time to the start of the only attempt, or None."""
        if (
            self.row.attempt != 1
            or self.row.started_at is None
            or self.row.kind != RunKind.SCHEDULED
        ):
            return None
        return max(0.0, (self.row.started_at - self.row.run_at).total_seconds())


def shown(row: ListedRun) -> ShownRun:
    """Return the run with its outcome."""
    if row.status is not None:
        return ShownRun(row, *_RAN.get(Status(row.status), _PENDING))
    if row.task_id is not None:
        return ShownRun(row, *_DELETED)
    return ShownRun(row, *_DID_NOT_RUN.get(RunState(row.state), _PENDING))


def newest_runs(ids: Sequence[int], *, most: int = OUTCOMES) -> dict[int, list[ShownRun]]:
    """Return the newest runs of each schedule, newest first, with one statement."""
    rows = store.list_schedule_runs(ids, most=most) if ids else []
    by_schedule = groupby(rows, attrgetter("schedule_id"))
    return {pk: [shown(row) for row in group] for pk, group in by_schedule}


def outcomes(runs: Iterable[ShownRun]) -> list[ShownRun]:
    """Return the last thirty outcomes, oldest first. A folded row stands for several."""
    found: list[ShownRun] = []
    for run in runs:
        found += [run] * min(run.row.times, OUTCOMES - len(found))
        if len(found) == OUTCOMES:
            break
    return found[::-1]


def summary(found: Iterable[ShownRun]) -> str:
    """Count the outcomes: `27 complete, 1 failed, 2 did not run`."""
    names = ("complete", "failed", "cancelled", "running", "pending", "none")
    counts = Counter(run.bar for run in found)
    return ", ".join(
        f"{counts[name]} {'did not run' if name == 'none' else name}"
        for name in names
        if counts[name]
    )


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """Hold a row of the list. `runs` are its newest runs, newest first."""

    schedule: Schedule
    state: str
    runs: list[ShownRun]
    #: When the next run starts. None if no run is left.
    next_at: datetime | None
    #: Why a due task has not started, as far as it is known.
    pending_reason: str = ""

    @property
    def newest(self) -> ShownRun | None:
        """Return the newest run, or None before the first one."""
        return self.runs[0] if self.runs else None

    @property
    def newest_made(self) -> ShownRun | None:
        """Return the newest run with a task, or None."""
        return next((run for run in self.runs if run.row.task_id is not None), None)

    @property
    def outcomes(self) -> list[ShownRun]:
        """Return the last thirty outcomes, oldest first."""
        return outcomes(self.runs)

    @property
    def late_since(self) -> datetime | None:
        """Return the time of the run that has not started, or None."""
        if self.state != ScheduleState.LATE:
            return None
        made = self.newest_made
        if made is not None and _is_unstarted(made.row):
            return made.row.run_at
        newest = self.newest
        missed = newest is not None and newest.word == "missed"
        return None if missed else self.schedule.next_run_at


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Hold a page of the list, and the figures of all schedules that match the search."""

    rows: list[ScheduleRow]
    #: Number of schedules by state.
    counts: Counter[str]
    #: Up to `NAMED` schedules of each state that needs a person.
    named: dict[str, list[ListedSchedule]]
    #: Number of schedules of the view, and of all views.
    matching: int
    total: int
    number: int
    pages: int


#: Number of schedules of one state that the summary of the list names.
NAMED = 3


def read_page(view: str = "", search: str = "", number: int = 1) -> SchedulePage:
    """Return a page of the schedules of a view. A number out of range gives the nearest page."""
    listed = store.list_schedule_states(search=search, late_s=LATE_S)
    state = next((state for _, value, state in VIEWS if value == view), None)
    matching = [each for each in listed if state is None or each.state == state]
    pages = max(1, -(-len(matching) // PAGE_ROWS))
    number = min(max(1, number), pages)
    named: dict[str, list[ListedSchedule]] = {}
    for each in listed:
        names = named.setdefault(each.state, [])
        if len(names) < NAMED:
            names.append(each)
    return SchedulePage(
        _rows(matching[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]),
        Counter(each.state for each in listed),
        named,
        len(matching),
        len(listed),
        number,
        pages,
    )


def read_row(schedule: Schedule, *, most: int = OUTCOMES) -> ScheduleRow:
    """Return one schedule with its state and up to `most` of its newest runs."""
    listed = store.list_schedule_states(schedule_id=schedule.pk, late_s=LATE_S)
    state = listed[0].state if listed else ScheduleState.ENDED.value
    runs = newest_runs([schedule.pk], most=most).get(schedule.pk, [])
    row = ScheduleRow(schedule, state, runs, _next_times([schedule]).get(schedule.pk))
    return _explained([row])[0]


def _rows(listed: Sequence[ListedSchedule]) -> list[ScheduleRow]:
    ids = [each.schedule_id for each in listed]
    schedules = Schedule.objects.select_related("owner").in_bulk(ids)
    runs = newest_runs(ids)
    next_times = _next_times(schedules.values())
    return _explained(
        [
            ScheduleRow(
                schedules[each.schedule_id],
                each.state,
                runs.get(each.schedule_id, []),
                next_times.get(each.schedule_id),
            )
            for each in listed
            # Deleted between two statements.
            if each.schedule_id in schedules
        ]
    )


def _explained(rows: list[ScheduleRow]) -> list[ScheduleRow]:
    """Add the reasons of the first rows whose task is due and has not started."""
    waiting = {
        row.schedule.pk: made.row.task_id
        for row in rows
        if row.state == ScheduleState.LATE
        and (made := row.newest_made) is not None
        and _is_unstarted(made.row)
    }
    some = dict(list(waiting.items())[:_EXPLAINED])
    tasks = Task.objects.in_bulk([pk for pk in some.values() if pk is not None])
    reasons = {
        pk: explain_pending(tasks[task_id]) or ""
        for pk, task_id in some.items()
        if task_id in tasks
    }
    return [replace(row, pending_reason=reasons.get(row.schedule.pk, "")) for row in rows]


def _next_times(schedules: Iterable[Schedule]) -> dict[int, datetime | None]:
    """Return when the next run of each schedule starts. It may have been created ahead."""
    times = {schedule.pk: schedule.next_run_at for schedule in schedules}
    ahead = ScheduleRun.objects.filter(
        schedule__in=times, run_at__gt=Now(), kind=RunKind.SCHEDULED, state=RunState.CREATED
    )
    return times | dict(ahead.order_by().values_list("schedule").annotate(Min("run_at")))


def _is_unstarted(row: ListedRun) -> bool:
    return row.attempt == 0 and row.status in (Status.WAITING, Status.PENDING, Status.PICKED)


def scheduler_state() -> SchedulerState:
    """Return the state of all schedules: who searched last, and whether everything is paused."""
    return SchedulerState.objects.filter(pk=1).first() or SchedulerState()
