"""Change the row of a schedule: lock it, compute its next run, and store it under a new version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS

from taskmaster.tasks.errors import ScheduleNotFound
from taskmaster.tasks.models import Schedule, ScheduleRun
from taskmaster.tasks.models.schedule import RunKind, RunState
from taskmaster.tasks.schedules.planning import PAUSED_STEP
from taskmaster.tasks.schedules.reasons import end_text
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.timing.timing import jitter

#: Why a schedule has ended that code declared before. Only a new declaration continues it.
NO_LONGER_DECLARED = "The code no longer declares it."
#: The columns that `set_next` computes, and those of every change.
NEXT = ("next_due_at", "next_run_at", "ended_at", "ended_reason")
CHANGED = (*NEXT, "version", "changed_at")


def lock(schedule_id: int, *, to_delete: bool = False) -> tuple[Schedule, datetime]:
    """Lock the row of a schedule. Return it with the time of the database.

    Of two concurrent changes, the second sees the result of the first. The leader leaves out a
    locked schedule. `to_delete` also waits until the running chunk of a back-fill has ended. Raise
    ScheduleNotFound.
    """
    schedules = Schedule.objects.select_for_update(no_key=not to_delete)
    schedule = schedules.filter(pk=schedule_id).first()
    if schedule is None:
        raise ScheduleNotFound(schedule_id)
    return schedule, store.read_clock()


def taken_due_times(schedule_ids: Collection[int], after: datetime) -> dict[int, set[datetime]]:
    """Return the due times after `after` that have a run, except withdrawn ones, by schedule."""
    runs = (
        ScheduleRun.objects.using(DEFAULT_DB_ALIAS)
        .filter(schedule__in=schedule_ids, kind=RunKind.SCHEDULED, due_at__gt=after)
        .exclude(state=RunState.WITHDRAWN)
    )
    taken = defaultdict(set)
    for schedule_id, due_at in runs.values_list("schedule_id", "due_at"):
        taken[schedule_id].add(due_at)
    return taken


def open_due_times(
    schedule: Schedule, after: datetime, taken: Collection[datetime] | None
) -> Iterator[datetime]:
    """Yield the due times after `after` that have no run, except withdrawn ones.

    `taken` are those that have a run, if they are known.
    """
    if taken is None:
        taken = taken_due_times([schedule.pk], after).get(schedule.pk, set())
    return (due.at for due in timing_of(schedule).after(after) if due.at not in taken)


def set_next(schedule: Schedule, now: datetime, taken: Collection[datetime] | None = None) -> None:
    """Set the next due time: the first after `now` that has no run. Without one, it has ended.

    `taken` are the due times that have a run, if they are known. A schedule that code declares no
    longer stays ended.
    """
    if schedule.ended_reason == NO_LONGER_DECLARED:
        return
    due_at = next(open_due_times(schedule, now, taken), None) if has_runs_left(schedule) else None
    if due_at is None:
        schedule.next_due_at = schedule.next_run_at = None
        schedule.ended_at = schedule.ended_at or now
        schedule.ended_reason = _ended_reason(schedule)
    else:
        schedule.ended_at, schedule.ended_reason = None, ""
        set_due(schedule, due_at, now)


def set_due(schedule: Schedule, due_at: datetime, now: datetime) -> None:
    """Set the next due time, and when the leader searches it."""
    run_at = due_at + jitter(schedule.name, due_at, schedule.jitter_s)
    if schedule.paused_at is not None:
        run_at = max(run_at, now + PAUSED_STEP)
    schedule.next_due_at, schedule.next_run_at = due_at, run_at


def has_runs_left(schedule: Schedule) -> bool:
    """Return whether the schedule has made less than its number of runs."""
    return schedule.max_runs is None or schedule.runs_made < schedule.max_runs


def _ended_reason(schedule: Schedule) -> str:
    if not has_runs_left(schedule):
        return f"The maximum number of runs was reached: {schedule.max_runs}."
    return end_text(schedule)


def coming_runs(schedule: Schedule, now: datetime) -> Iterator[tuple[datetime, str | None]]:
    """Yield the due times that start after `now`, each with the state of its run, or None.

    With jitter, the first of them may have passed. It is left out if it belongs to no run of the
    schedule, for example because the schedule was created after it.
    """
    since = now - timedelta(seconds=schedule.jitter_s)
    runs = ScheduleRun.objects.using(DEFAULT_DB_ALIAS).filter(
        schedule=schedule, kind=RunKind.SCHEDULED, due_at__gt=since
    )
    states = dict(runs.exclude(state=RunState.WITHDRAWN).values_list("due_at", "state"))
    for due in timing_of(schedule).after(since):
        starts = due.at + jitter(schedule.name, due.at, schedule.jitter_s) > now
        known = due.at > now or due.at in states or due.at == schedule.next_due_at
        if starts and known:
            yield due.at, states.get(due.at)


def save(schedule: Schedule, now: datetime, columns: Iterable[str]) -> None:
    """Store these columns and the next due time under a new version. Wake the leader on commit.

    The leader creates runs only for the version that it has read.
    """
    schedule.version += 1
    schedule.changed_at = now
    schedule.save(update_fields=[*columns, *CHANGED])
    wake_leader()


def wake_leader() -> None:
    """Wake the leading coordinator when the transaction commits."""
    store.notify_schedules(using=DEFAULT_DB_ALIAS)
