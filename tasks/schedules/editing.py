"""Create, edit and delete schedules for users.

The owner is the user who created or last edited the schedule, because the runs are submitted in the
name of the owner. Schedules of code and of the command line have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction

from taskmaster.tasks.errors import Conflict, InvalidField, VersionChanged
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import RunState, ScheduleSource
from taskmaster.tasks.permissions import CHANGE_SCHEDULE
from taskmaster.tasks.schedules import changes
from taskmaster.tasks.schedules.fields import parse_changes, parse_new, parse_unsaved
from taskmaster.tasks.schedules.pausing import record_passed
from taskmaster.tasks.schedules.users import (
    ScheduleUser,
    check_runs,
    check_user,
    id_of,
    name_of,
    publish_change,
    sentence,
)
from taskmaster.tasks.schedules.withdrawal import withdraw_runs
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.timing.parse import TIMING_FIELDS, TRIGGER_FIELDS
from taskmaster.tasks.timing.preview import Preview, preview


def create(fields: Mapping[str, object], *, user: ScheduleUser | None) -> Schedule:
    """Create a schedule. The fields have the names of REST.

    Raise NotAllowed, the errors of `parse_new`, and Conflict if the name is taken.
    """
    check_user(user, CHANGE_SCHEDULE)
    with transaction.atomic():
        now = store.read_clock()
        schedule = Schedule(**parse_new(fields, now), owner_id=id_of(user))
        check_runs(user, schedule, CHANGE_SCHEDULE)
        changes.set_next(schedule, now, ())
        _require_next(schedule, TIMING_FIELDS)
        try:
            with transaction.atomic():
                schedule.save(force_insert=True)
        except IntegrityError:
            raise _taken(schedule) from None
        changes.wake_leader()
        publish_change(f"created schedule {schedule.name}", user)
    # The database has set the times of creation.
    return Schedule.objects.using(DEFAULT_DB_ALIAS).get(pk=schedule.pk)


def preview_new(fields: Mapping[str, object], *, user: ScheduleUser | None) -> Preview:
    """Return the next due times of a schedule that is being written, without storing it.

    Its name and its task may be missing. Raise NotAllowed and the errors of `parse_new`.
    """
    check_user(user, CHANGE_SCHEDULE)
    now = store.read_clock()
    parsed = parse_unsaved(fields, now)
    return preview(parsed.timing, now, runs_left=parsed.max_runs)


def update(
    schedule: Schedule,
    fields: Mapping[str, object],
    *,
    user: ScheduleUser | None,
    version: int | None = None,
) -> Schedule:
    """Change fields of a schedule, and compute its next due time from now.

    Runs that have not started are withdrawn, and the user becomes the owner. Nothing happens if the
    fields have these values already. `version` is the version that the user has seen.

    Raise the errors of `create`, ScheduleNotFound, VersionChanged for another version, and Conflict
    for a schedule of code.
    """
    check_user(user, CHANGE_SCHEDULE)
    with transaction.atomic():
        schedule, now = changes.lock(schedule.pk)
        _require_version(schedule, version)
        _refuse_code(schedule, "edited")
        check_runs(user, schedule, CHANGE_SCHEDULE)
        columns = parse_changes(schedule, fields, now)
        if not columns:
            return schedule
        reason = sentence("The schedule was edited", user)
        record_passed(schedule, now, RunState.MISSED, reason)
        withdraw_runs(schedule.pk, reason, by=name_of(user))
        schedule.refresh_from_db(using=DEFAULT_DB_ALIAS, fields=["runs_made"])
        for name, value in columns.items():
            setattr(schedule, name, value)
        check_runs(user, schedule, CHANGE_SCHEDULE)
        if user is not None:
            schedule.owner_id = user.pk
        changes.set_next(schedule, now)
        _require_next(schedule, columns)
        try:
            with transaction.atomic():
                changes.save(schedule, now, [*columns, "owner"])
        except IntegrityError:
            raise _taken(schedule) from None
        publish_change(f"changed {', '.join(columns)} of schedule {schedule.name}", user)
    return schedule


def delete(schedule: Schedule, *, user: ScheduleUser | None, version: int | None = None) -> None:
    """Delete a schedule with its history. Runs that have not started are withdrawn.

    Raise NotAllowed, ScheduleNotFound, VersionChanged, and Conflict for a schedule that code
    declares.
    """
    check_user(user, CHANGE_SCHEDULE)
    with transaction.atomic():
        schedule, _ = changes.lock(schedule.pk, to_delete=True)
        _require_version(schedule, version)
        if schedule.ended_reason != changes.NO_LONGER_DECLARED:
            _refuse_code(schedule, "deleted")
        withdraw_runs(schedule.pk, sentence("The schedule was deleted", user), by=name_of(user))
        name = schedule.name
        schedule.delete()
        changes.wake_leader()
        publish_change(f"deleted schedule {name}", user)


def _require_version(schedule: Schedule, version: int | None) -> None:
    if version is not None and schedule.version != version:
        raise VersionChanged(
            f"Schedule {schedule.name} has changed: it has version {schedule.version} now, not "
            f"{version}. Read it again."
        )


def _refuse_code(schedule: Schedule, done: str) -> None:
    if schedule.source == ScheduleSource.CODE:
        where = f" ({schedule.declared_in})" if schedule.declared_in else ""
        raise Conflict(
            f"Schedule {schedule.name} is declared in code{where} and cannot be {done} here; "
            "change the declaration and deploy it."
        )


def _require_next(schedule: Schedule, changed: Iterable[str]) -> None:
    """Raise InvalidField if a change of the timing leaves no due time."""
    fields = [name for name in TIMING_FIELDS if name in set(changed)]
    if schedule.next_due_at is not None or not fields:
        return
    if not changes.has_runs_left(schedule):
        raise InvalidField(
            "max_runs",
            f"is {schedule.max_runs:,}, but the schedule has made {schedule.runs_made:,} runs; "
            "give a higher number.",
        )
    [trigger] = [name for name in TRIGGER_FIELDS if getattr(schedule, name)]
    raise InvalidField(trigger, "has no due time left; all of them have a run already.")


def _taken(schedule: Schedule) -> Conflict:
    return Conflict(f"Schedule {schedule.name} already exists; names are unique.")
