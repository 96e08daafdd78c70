"""Pause and resume all schedules for users."""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, OuterRef, Q

from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.permissions import RUN_SCHEDULE
from taskmaster.tasks.schedules import changes
from taskmaster.tasks.schedules.passed import find_passed, record
from taskmaster.tasks.schedules.pausing import pause_of_all
from taskmaster.tasks.schedules.users import (
    ScheduleUser,
    check_user,
    name_of,
    parse_reason,
    publish_change,
    sentence,
)
from taskmaster.tasks.schedules.withdrawal import withdraw_all
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.store.schedule_changes import MovedSchedule


def read_state() -> SchedulerState:
    """Return the state of all schedules: whether, since when and why everything is paused."""
    return SchedulerState.objects.filter(pk=1).first() or SchedulerState()


def pause_all(reason: str, *, user: ScheduleUser | None) -> SchedulerState:
    """Pause all schedules. Runs that have not started are withdrawn. Return the state.

    Due times during the pause are recorded and not made up. If everything is paused already, the
    pause stays as it is. Raise NotAllowed or InvalidField.
    """
    check_user(user, RUN_SCHEDULE)
    reason = parse_reason(reason)
    with transaction.atomic():
        state = _lock_state()
        if state.paused_at is not None:
            return state
        # The withdrawal locks tasks. A concurrent edit of a schedule locks its row before them.
        list(Schedule.objects.select_for_update(no_key=True).order_by("pk").values_list("pk"))
        now = store.read_clock()
        withdraw_all(now, sentence("All schedules were paused", user, reason), by=name_of(user))
        state.paused_at, state.paused_by, state.pause_reason = now, name_of(user), reason
        state.save(update_fields=["paused_at", "paused_by", "pause_reason"])
        changes.wake_leader()
        publish_change("paused all schedules", user)
    return state


def resume_all(*, user: ScheduleUser | None) -> SchedulerState:
    """End the pause of all schedules. Their next due times are after now. Return the state.

    Schedules that are paused themselves stay paused. Without a pause, do nothing. Raise NotAllowed.
    """
    check_user(user, RUN_SCHEDULE)
    with transaction.atomic():
        state = _lock_state()
        if state.paused_at is None:
            return state
        now = store.read_clock()
        _move_on(state.paused_at, now, pause_of_all())
        state.paused_at, state.paused_by, state.pause_reason = None, "", ""
        state.save(update_fields=["paused_at", "paused_by", "pause_reason"])
        changes.wake_leader()
        publish_change("resumed all schedules", user)
    return state


def _lock_state() -> SchedulerState:
    """Lock the row of the state. The leader creates runs under this lock."""
    SchedulerState.objects.using(DEFAULT_DB_ALIAS).get_or_create(pk=1)
    return SchedulerState.objects.select_for_update(no_key=True).get(pk=1)


def _move_on(paused_at: datetime, now: datetime, reason: str) -> None:
    """Record the due times that the leader has not searched yet, and compute the next ones.

    That concerns schedules that were due within the last minute, and those whose runs were
    withdrawn when the pause began: they may be due after now, or be the last ones of `max_runs`.
    """
    withdrawn = ScheduleRun.objects.using(DEFAULT_DB_ALIAS).filter(
        schedule=OuterRef("pk"), state=RunState.WITHDRAWN, run_at__gte=paused_at
    )
    schedules = list(
        Schedule.objects.select_for_update(no_key=True)
        .filter(Q(next_due_at__lte=now) | Exists(withdrawn), paused_at=None)
        .order_by("pk")
    )
    first = min((each.next_due_at for each in schedules if each.next_due_at), default=now)
    taken = changes.taken_due_times([each.pk for each in schedules], min(first, now))
    passed = []
    for schedule in schedules:
        due_times = taken.get(schedule.pk, ())
        passed.append(find_passed(schedule, now, RunState.PAUSED, reason, due_times))
        changes.set_next(schedule, now, due_times)
    record(passed)
    # Django's bulk_update builds an expression for each value, which takes 3 ms for each row.
    store.move_schedules([_moved(each) for each in schedules], now)


def _moved(schedule: Schedule) -> MovedSchedule:
    return MovedSchedule(
        schedule.pk,
        schedule.next_due_at,
        schedule.next_run_at,
        schedule.ended_at,
        schedule.ended_reason,
    )
