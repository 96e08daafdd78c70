"""Read schedules for pages and interfaces: their states and their newest runs.

A page of the list needs four statements, whatever the number of its schedules: the counts with the
names of the page, its rows, the newest runs of these rows, and their runs that were created ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import ListedRun, ListedSchedule
from taskmaster.tasks.models import Schedule, SchedulerState, Task
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.queries.schedule_runs import OUTCOMES, ShownRun, newest_runs, outcomes
from taskmaster.tasks.store import schedule_lists as store

#: A schedule is late if a due run has no task, or its task has not started, after this time.
LATE_S = 10.0
#: Number of rows of a page.
PAGE_ROWS = 50
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
    state = next((state for _, value, state in VIEWS if value == view), None)
    number = max(1, number)
    found = store.list_schedule_states(
        search=search, state=state or "", late_s=LATE_S, page=number, rows=PAGE_ROWS, named=NAMED
    )
    total = found.counts.total()
    matching = total if state is None else found.counts[state]
    pages = max(1, -(-matching // PAGE_ROWS))
    return SchedulePage(
        _rows(found.rows),
        found.counts,
        found.named,
        matching,
        total,
        min(number, pages),
        pages,
    )


def read_row(schedule: Schedule, *, most: int = OUTCOMES) -> ScheduleRow:
    """Return one schedule with its state and up to `most` of its newest runs."""
    listed = store.list_schedule_states(schedule_id=schedule.pk, late_s=LATE_S).rows
    state = listed[0].state if listed else ScheduleState.ENDED.value
    runs = newest_runs([schedule.pk], most=most).get(schedule.pk, [])
    row = ScheduleRow(schedule, state, runs, next_run_times([schedule]).get(schedule.pk))
    return _explained([row])[0]


def _rows(listed: Sequence[ListedSchedule]) -> list[ScheduleRow]:
    ids = [each.schedule_id for each in listed]
    schedules = Schedule.objects.select_related("owner").in_bulk(ids)
    runs = newest_runs(ids)
    next_times = next_run_times(schedules.values())
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


def next_run_times(schedules: Iterable[Schedule]) -> dict[int, datetime | None]:
    """Return when the next run of each schedule starts. It may have been created ahead."""
    times = {schedule.pk: schedule.next_run_at for schedule in schedules}
    return times | dict(store.list_runs_ahead(list(times)))


def _is_unstarted(row: ListedRun) -> bool:
    return row.attempt == 0 and row.status in (Status.WAITING, Status.PENDING, Status.PICKED)


def scheduler_state() -> SchedulerState:
    """Return the state of all schedules: who searched last, and whether everything is paused."""
    return SchedulerState.objects.filter(pk=1).first() or SchedulerState()
