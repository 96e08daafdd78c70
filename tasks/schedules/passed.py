"""Record the due times that passed before the leading coordinator had searched them.

A change computes the next due time from now. Without a record, due times between the leader's last
search and the change would have no row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from itertools import islice, takewhile

from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import MAX_REASON, RunState
from taskmaster.tasks.schedules.changes import open_due_times
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.store.schedule_changes import PassedRun
from taskmaster.tasks.timing.timing import jitter

#: Most due times that one change records. Only if no coordinator led for weeks, more have passed.
_PASSED_MAX = 100_000
_MICROSECOND = timedelta(microseconds=1)


def find_passed(
    schedule: Schedule,
    now: datetime,
    state: RunState,
    reason: str,
    taken: Collection[datetime] | None = None,
) -> PassedRun | None:
    """Return the due times up to `now` that have no run, as one row. None: there are none.

    `taken` are the due times that have a run, if they are known.
    """
    first = schedule.next_due_at
    if first is None or first > now:
        return None
    due_times = open_due_times(schedule, first - _MICROSECOND, taken)
    passed = list(islice(takewhile(lambda due_at: due_at <= now, due_times), _PASSED_MAX))
    if not passed:
        return None
    return PassedRun(
        schedule.pk,
        passed[0],
        passed[-1] if len(passed) > 1 else None,
        len(passed),
        passed[0] + jitter(schedule.name, passed[0], schedule.jitter_s),
        state.value,
        reason[:MAX_REASON],
    )


def record(passed: Iterable[PassedRun | None]) -> None:
    """Store these rows with one statement, or fold them into the newest runs."""
    rows = [each for each in passed if each is not None]
    if rows:
        store.record_passed_runs(rows)
