"""Read the runs of schedules for pages: their outcomes, and what happened in the last day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import ListedRun
from taskmaster.tasks.models.schedule import RunKind, RunState
from taskmaster.tasks.schedule_messages import DayOutcome
from taskmaster.tasks.store import schedule_lists as store

#: Number of outcomes that a row of the list shows.
OUTCOMES = 30
#: Number of runs of the last day that are read: each costs a probe of the tasks.
DAY_RUNS = 5_000

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
class LastDay:
    """Hold how the runs of the last day ended. Runs that have not ended do not count."""

    succeeded: int
    total: int
    #: `failed`, `refused`, `missed` and `cancelled`, as far as there are any.
    problems: list[DayOutcome]
    #: Whether there were more runs than `DAY_RUNS`, of which these are the newest.
    is_part: bool


def last_day() -> LastDay:
    """Return how the newest runs of the last day ended, with one statement."""
    found = store.count_day_runs(most=DAY_RUNS)
    ended = {each.outcome: each for each in found if each.outcome}
    complete = ended.pop(Status.COMPLETE.value, None)
    succeeded = complete.number if complete else 0
    return LastDay(
        succeeded,
        succeeded + sum(each.number for each in ended.values()),
        list(ended.values()),
        bool(found) and found[0].rows_read == DAY_RUNS,
    )
