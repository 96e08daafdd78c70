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
from taskmaster.tasks.schedules.changes import open_due_times, taken_due_times
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.store.schedule_changes import PassedRun
from taskmaster.tasks.timing.rules import TriggerKind
from taskmaster.tasks.timing.timing import jitter

#: Most due times of a cron expression that one change records: those of ten weeks.
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
    if taken is None:
        taken = taken_due_times([schedule.pk], first - _MICROSECOND).get(schedule.pk, set())
    is_interval = schedule.trigger == TriggerKind.INTERVAL
    if is_interval and not any(first <= each <= now for each in taken):
        passed_first, passed_last, number = _count(schedule, first, now)
    else:
        due_times = open_due_times(schedule, first - _MICROSECOND, taken)
        passed = list(islice(takewhile(lambda due_at: due_at <= now, due_times), _PASSED_MAX))
        if not passed:
            return None
        passed_first, passed_last, number = passed[0], passed[-1], len(passed)
    return PassedRun(
        schedule.pk,
        passed_first,
        passed_last if number > 1 else None,
        number,
        passed_first + jitter(schedule.name, passed_first, schedule.jitter_s),
        state.value,
        reason[:MAX_REASON],
    )


def _count(schedule: Schedule, first: datetime, now: datetime) -> tuple[datetime, datetime, int]:
    """Return the first and the last due time of an interval up to `now`, and their number.

    Listing them would take minutes for a short interval after a day without a leader.
    """
    assert schedule.interval_s is not None
    every = timedelta(seconds=schedule.interval_s)
    last = now if schedule.ends_at is None else min(now, schedule.ends_at)
    steps = max(0, (last - first) // every)
    return first, first + steps * every, steps + 1


def record(passed: Iterable[PassedRun | None]) -> None:
    """Store these rows with one statement, or fold them into the newest runs."""
    rows = [each for each in passed if each is not None]
    if rows:
        store.record_passed_runs(rows)
