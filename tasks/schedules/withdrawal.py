"""Withdraw the scheduled runs that have not started, when a user changes their schedule.

Runs are created up to 30 s before they are due. After an edit, a pause or a deletion none of them
may start. Their tasks are cancelled through the life cycle of tasks, and their rows keep the
reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.tasks.messages import EndedTasks
from taskmaster.tasks.models import ScheduleRun
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.store import sync_store

#: For all schedules, only runs of the last day are searched. An older task that has not started
#: has no worker, and the history of ten thousand schedules is long.
_AGE_MAX = timedelta(days=1)


def withdraw_runs(schedule_id: int, reason: str, *, by: str) -> int:
    """Withdraw the runs of a schedule, whose row the caller has locked. Return their number.

    Withdrawn runs do not count towards `max_runs`: this changes the column `runs_made`. `by` is the
    name of the user, for the events of the tasks.
    """
    runs = ScheduleRun.objects.using(DEFAULT_DB_ALIAS).filter(schedule=schedule_id)
    return _withdraw(runs, schedule_id, store.EARLIEST, store.LATEST, reason, by)


def withdraw_run(schedule_id: int, due_at: datetime, reason: str, *, by: str) -> bool:
    """Withdraw the run of one due time. Return False if it has started."""
    runs = ScheduleRun.objects.using(DEFAULT_DB_ALIAS).filter(schedule=schedule_id, due_at=due_at)
    return _withdraw(runs, schedule_id, due_at, due_at, reason, by) > 0


def withdraw_all(now: datetime, reason: str, *, by: str) -> None:
    """Withdraw the runs of all schedules, whose rows the caller has locked."""
    _withdraw(
        ScheduleRun.objects.using(DEFAULT_DB_ALIAS), None, now - _AGE_MAX, store.LATEST, reason, by
    )


def _withdraw(
    runs: QuerySet[ScheduleRun],
    schedule_id: int | None,
    since: datetime | str,
    until: datetime | str,
    reason: str,
    by: str,
) -> int:
    unstarted = store.lock_unstarted_runs(schedule_id, since, until)
    # A queued run has no task yet. The leader creates it under the lock of the schedule.
    queued = runs.filter(state=RunState.QUEUED).values_list("pk", flat=True)
    ids = [*(run.run_id for run in unstarted), *queued]
    if not ids:
        return 0
    store.withdraw_runs(ids, reason)
    changed = sync_store.cancel_tasks([run.task_id for run in unstarted])
    ended = EndedTasks(cancelled=len(changed))
    sync_store.record_completions(ended, using=DEFAULT_DB_ALIAS)
    text = "withdrawn by its schedule"
    publish(
        NewEvent(EventKind.CANCELLED, text, each.task_id, each.name, each.queue, user=by)
        for each in changed
    )
    return len(ids)
