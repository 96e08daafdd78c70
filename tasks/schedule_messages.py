"""Define the messages of the store about schedules: due ones, created runs, and lists."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from taskmaster.tasks.messages import ListedSchedule, NewTask


class DueSchedule(NamedTuple):
    """Hold the columns of a schedule that decide its next runs. `args` and `kwargs` are JSON text.

    The fields have the names of the columns of `taskmaster.tasks.models.Schedule`.
    """

    id: int
    version: int
    name: str
    owner_id: Any
    task: str
    args: str
    kwargs: str
    queue: str | None
    priority: int | None
    max_attempts: int | None
    timeout_s: float | None
    retry_base_s: float | None
    retry_cap_s: float | None
    on_lost_contact: str | None
    tags: list[str] | None
    trigger: str
    cron: str
    interval_s: float | None
    anchor: datetime | None
    dates: list[datetime]
    timezone: str
    skipped_time: str
    repeated_time: str
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    jitter_s: float
    missed: str
    missed_max: int
    catch_up_s: float
    overlap: str
    paused_at: datetime | None
    paused_by: str
    pause_reason: str
    #: Never null here, except in a schedule of which only a queued run is left.
    next_due_at: datetime
    next_run_at: datetime
    runs_made: int
    #: Later due times that have a run already, for example one that a user skipped.
    taken: list[datetime]


class QueuedRun(NamedTuple):
    """Hold a queued run whose earlier run has ended, with its schedule."""

    id: int
    schedule: DueSchedule


class ScheduleSearch(NamedTuple):
    """Hold the result of a search for due schedules. All times are of the database's clock."""

    now: datetime
    #: Time and coordinator of the search before. None: this is the first.
    previous_at: datetime | None
    previous_leader: UUID | None
    #: Since when, by whom and why all schedules are paused.
    halted_at: datetime | None
    halted_by: str
    halt_reason: str
    #: Whether any run is queued.
    has_queued: bool
    #: When the first schedule beyond this search is due: of those whose runs are created ahead of
    #: time, and of the others.
    next_ahead_at: datetime | None
    next_due_at: datetime | None
    schedules: list[DueSchedule]
    queued: list[QueuedRun]


class PlannedRun(NamedTuple):
    """Hold a run to be stored. `starts` is true if it gets a task, unless an overlap forbids that.

    A run without a task may stand for a number of due times, from `due_at` to `last_due_at`.
    """

    due_at: datetime
    last_due_at: datetime | None
    due_times: int
    run_at: datetime
    state: str
    reason: str
    starts: bool


class Plan(NamedTuple):
    """Hold the next runs of one schedule, and what follows after them."""

    schedule: DueSchedule
    #: The submission of each run, or None if it was refused.
    task: NewTask | None
    #: The runs are stored at this time, and not after `valid_until`: they would be missed then.
    act_at: datetime
    valid_until: datetime
    runs: tuple[PlannedRun, ...]
    #: The first due time after the runs, without and with jitter. None: there is none.
    next_due_at: datetime | None
    next_run_at: datetime | None
    ended_reason: str
    #: Why the schedule is paused after these runs. Empty: it is not.
    pause_reason: str
    #: Number of due times that were missed, whether they are made up or not.
    missed: int


class StoredRun(NamedTuple):
    """Describe a run that was stored, or folded into an earlier one."""

    schedule_id: int
    due_at: datetime
    run_at: datetime
    state: str
    #: Whether it has a new row. A queued run has one already.
    inserted: bool
    task_id: int | None
    #: Name and queue of the task.
    name: str
    queue: str
    #: Ids of the tasks of earlier runs that this run cancels.
    cancels: list[int]


class ListedSchedules(NamedTuple):
    """Hold a page of a list of schedules, and figures of the whole list."""

    #: Number of schedules by state.
    counts: Counter[str]
    #: The first schedules of each state that needs a person.
    named: dict[str, list[ListedSchedule]]
    rows: list[ListedSchedule]


class DayOutcome(NamedTuple):
    """Hold how many runs of the last day ended in one way, and the newest one of them."""

    #: `complete`, `failed`, `cancelled`, `missed` or `refused`. None if the run has not ended.
    outcome: str | None
    number: int
    #: Number of rows of all outcomes.
    rows_read: int
    run_id: int
    schedule_id: int
    name: str
