"""Pause and resume schedules for users, and skip single runs."""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction

from taskmaster.tasks.errors import Conflict, NotAllowed
from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.permissions import CHANGE_SCHEDULE, RUN_SCHEDULE
from taskmaster.tasks.schedules import changes
from taskmaster.tasks.schedules.owners import account_problem, find_owners
from taskmaster.tasks.schedules.passed import find_passed, record
from taskmaster.tasks.schedules.reasons import pause_text
from taskmaster.tasks.schedules.users import (
    ScheduleUser,
    check_runs,
    check_user,
    id_of,
    name_of,
    parse_reason,
    publish_change,
    sentence,
)
from taskmaster.tasks.schedules.withdrawal import withdraw_run, withdraw_runs
from taskmaster.tasks.timing.timing import jitter

_PAUSE = ("paused_at", "paused_by", "pause_reason")


def pause(schedule: Schedule, reason: str, *, user: ScheduleUser | None) -> Schedule:
    """Pause a schedule. Runs that have not started are withdrawn.

    Due times during the pause are recorded and not made up. A schedule that is paused already keeps
    its pause as it is. Raise NotAllowed, InvalidField or ScheduleNotFound.
    """
    check_user(user, RUN_SCHEDULE)
    reason = parse_reason(reason)
    with transaction.atomic():
        schedule, now = changes.lock(schedule.pk)
        if schedule.paused_at is not None:
            return schedule
        withdrawn = sentence("The schedule was paused", user, reason)
        withdraw_runs(schedule.pk, withdrawn, by=name_of(user))
        schedule.refresh_from_db(using=DEFAULT_DB_ALIAS, fields=["runs_made"])
        schedule.paused_at, schedule.paused_by, schedule.pause_reason = now, name_of(user), reason
        if schedule.next_due_at is None:
            changes.set_next(schedule, now)
        else:
            # The leader records the due times that it has not searched yet as paused.
            changes.set_due(schedule, schedule.next_due_at, now)
        changes.save(schedule, now, _PAUSE)
        publish_change(f"paused schedule {schedule.name}", user)
    return schedule


def resume(schedule: Schedule, *, user: ScheduleUser | None) -> Schedule:
    """End the pause of a schedule. Its next due time is after now. Without a pause, do nothing.

    If the owner is not active any more, the user becomes the owner, and needs the permission to
    change schedules. The command line leaves it without an owner. Raise NotAllowed or
    ScheduleNotFound.
    """
    check_user(user, RUN_SCHEDULE)
    with transaction.atomic():
        schedule, now = changes.lock(schedule.pk)
        check_runs(user, schedule, RUN_SCHEDULE)
        if schedule.paused_at is None:
            return schedule
        if problem := account_problem(schedule, find_owners([schedule])):
            if user is not None and not user.has_perm(CHANGE_SCHEDULE):
                raise NotAllowed(
                    f"{problem} Resuming it makes you the owner, which needs the permission "
                    f"{CHANGE_SCHEDULE}."
                )
            schedule.owner_id = id_of(user)
        record_passed(schedule, now, RunState.PAUSED, "")
        schedule.paused_at, schedule.paused_by, schedule.pause_reason = None, "", ""
        changes.set_next(schedule, now)
        changes.save(schedule, now, [*_PAUSE, "owner"])
        publish_change(f"resumed schedule {schedule.name}", user)
    return schedule


def skip_next(schedule: Schedule, reason: str, *, user: ScheduleUser | None) -> ScheduleRun:
    """Skip the next due time that has not started, and return the run that records it.

    Its task is withdrawn if it was created already. Raise NotAllowed, InvalidField,
    ScheduleNotFound, and Conflict if the schedule is paused or no due time is left.
    """
    check_user(user, RUN_SCHEDULE)
    reason = parse_reason(reason)
    with transaction.atomic():
        schedule, now = changes.lock(schedule.pk)
        if schedule.paused_at is not None:
            raise Conflict(f"Schedule {schedule.name} is paused; its due times do not run.")
        text = sentence("Skipped", user, reason)
        due_at = _free_next(schedule, now, text, name_of(user))
        run = ScheduleRun.objects.create(
            schedule=schedule,
            due_at=due_at,
            run_at=due_at + jitter(schedule.name, due_at, schedule.jitter_s),
            state=RunState.SKIPPED,
            reason=text,
            user=name_of(user),
        )
        schedule.refresh_from_db(using=DEFAULT_DB_ALIAS, fields=["runs_made"])
        if schedule.next_due_at is None or schedule.next_due_at == due_at:
            changes.set_next(schedule, now)
        changes.save(schedule, now, ())
        publish_change(f"skipped {due_at:%Y-%m-%d %H:%M:%S} UTC of schedule {schedule.name}", user)
    return ScheduleRun.objects.using(DEFAULT_DB_ALIAS).get(pk=run.pk)


def _free_next(schedule: Schedule, now: datetime, reason: str, by: str) -> datetime:
    """Return the next due time without a run, or withdraw the run of an earlier one."""
    for due_at, state in changes.coming_runs(schedule, now):
        if state is None:
            if schedule.ended_at is not None:
                break
            return due_at
        unstarted = state in (RunState.CREATED, RunState.QUEUED)
        if unstarted and withdraw_run(schedule.pk, due_at, reason, by=by):
            return due_at
    raise Conflict(f"Schedule {schedule.name} has no due time left to skip.")


def record_passed(schedule: Schedule, now: datetime, state: RunState, reason: str) -> None:
    """Record the due times up to `now` that have no run. During a pause they are paused."""
    if schedule.paused_at is not None:
        state = RunState.PAUSED
        reason = pause_text("Paused", schedule.paused_at, schedule.paused_by, schedule.pause_reason)
    elif text := pause_of_all():
        state, reason = RunState.PAUSED, text
    record([find_passed(schedule, now, state, reason)])


def pause_of_all() -> str:
    """Return since when, by whom and why everything is paused. Empty: it is not."""
    state = SchedulerState.objects.using(DEFAULT_DB_ALIAS).filter(pk=1).first()
    if state is None or state.paused_at is None:
        return ""
    return pause_text(
        "All schedules are paused", state.paused_at, state.paused_by, state.pause_reason
    )
