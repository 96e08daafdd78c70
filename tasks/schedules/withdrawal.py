"""Withdraw the scheduled runs that have not started, when a user changes their schedule.

Runs are created up to 30 s before they are due. After an edit, a pause or a deletion none of them
may start. Their tasks are cancelled through the life cycle of tasks, and their rows keep the
reason.
"""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.tasks.messages import EndedTasks
from taskmaster.tasks.models import ScheduleRun
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.store import schedule_changes
from taskmaster.tasks.store import sync_store as store


def withdraw_runs(
    schedule_id: int | None, reason: str, *, by: str, due_at: datetime | None = None
) -> int:
    """Withdraw the runs of one schedule, or of all, or only that of one due time. Count them.

    The caller has locked the schedules. Withdrawn runs do not count towards `max_runs`, so this
    changes the column `runs_made`. `by` is the name of the user, for the events of the tasks.
    """
    # The leader creates the task of a queued run under the lock of the schedule, as its other runs.
    queued = ScheduleRun.objects.filter(state=RunState.QUEUED)
    if schedule_id is not None:
        queued = queued.filter(schedule=schedule_id)
    if due_at is not None:
        queued = queued.filter(due_at=due_at)
    unstarted = schedule_changes.lock_unstarted_runs(schedule_id, due_at)
    runs = [*queued.values_list("pk", flat=True), *(run.run_id for run in unstarted)]
    if not runs:
        return 0
    schedule_changes.withdraw_runs(runs, reason)
    changed = store.cancel_tasks([run.task_id for run in unstarted])
    store.record_completions(EndedTasks(cancelled=len(changed)), using=DEFAULT_DB_ALIAS)
    publish(
        NewEvent(
            EventKind.CANCELLED,
            "withdrawn by its schedule",
            each.task_id,
            each.name,
            each.queue,
            user=by,
        )
        for each in changed
    )
    return len(runs)
