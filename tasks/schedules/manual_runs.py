"""Run schedules for users, now or for a past due time, and count the runs of a back-fill."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, transaction

from taskmaster.tasks.errors import Conflict, InvalidField
from taskmaster.tasks.events.publish import publish_submitted
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Schedule, ScheduleRun
from taskmaster.tasks.models.schedule import RunKind
from taskmaster.tasks.permissions import RUN_SCHEDULE
from taskmaster.tasks.schedules import changes
from taskmaster.tasks.schedules.fields import parse_call, stored_call
from taskmaster.tasks.schedules.owners import account_problem, find_owners, shell_problem
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.schedules.users import (
    ScheduleUser,
    check_runs,
    check_user,
    name_of,
    publish_change,
)
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.timing.values import point_in_time
from taskmaster.tasks.timing.zones import zone_of
from taskmaster.tasks.wakeup import wake_on_commit

#: Most due times of one back-fill.
BACKFILL_MAX = 100_000
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class BackfillPreview:
    """Hold the number of due times of a back-fill, the first and the last. None: there are none."""

    count: int
    first: datetime | None
    last: datetime | None


def run_now(
    schedule: Schedule, *, user: ScheduleUser | None, due_at: datetime | str | None = None
) -> ScheduleRun:
    """Run a schedule now, also if it is paused or has ended. Return the run.

    `due_at` names a past due time, for example a missed one; without it the run is due now. The
    overlap policy does not apply. Raise NotAllowed, ScheduleNotFound, InvalidField for another due
    time, and Conflict if the schedule cannot run.
    """
    check_user(user, RUN_SCHEDULE)
    with transaction.atomic():
        schedule, now = changes.lock(schedule.pk)
        check_runs(user, schedule, RUN_SCHEDULE)
        due = now if due_at is None else _past_due_time(schedule, due_at, now)
        run_id = _create_run(schedule, due, user)
        publish_change(f"ran schedule {schedule.name}", user)
    return ScheduleRun.objects.using(DEFAULT_DB_ALIAS).get(pk=run_id)


def preview_backfill(
    schedule: Schedule, start: datetime | str | None, end: datetime | str | None
) -> BackfillPreview:
    """Count the due times from `start` to `end`, for each of which a back-fill would create a run.

    Both ends are included and must be in the past. Without an offset they are local times. The
    caller has checked the permission to view schedules. Raise InvalidField for a bad range, and for
    more than 100,000 due times.
    """
    first, last = _range(schedule, start, end, store.read_clock())
    zone = zone_of(schedule.timezone)
    count, found, newest = 0, None, None
    for due in timing_of(schedule).after(first - _MICROSECOND):
        if due.at > last:
            break
        if count == BACKFILL_MAX:
            assert newest is not None
            raise InvalidField(
                "end",
                f"the range has more than {BACKFILL_MAX:,} due times, the limit of one back-fill; "
                f"the last possible end is {newest.astimezone(zone).isoformat()}.",
            )
        count, found, newest = count + 1, found or due.at, due.at
    return BackfillPreview(count, found, newest)


def _create_run(schedule: Schedule, due_at: datetime, user: ScheduleUser | None) -> int:
    """Create a run with its task. Return the id of the run."""
    task = submission_of(schedule)
    [(run_id, task_id)] = store.insert_schedule_runs(
        schedule.pk,
        task,
        [due_at],
        kind=RunKind.MANUAL,
        user=name_of(user),
        created_by_id=schedule.owner_id,
    )
    publish_submitted([task_id], [task], name_of(user))
    wake_on_commit()
    return run_id


def submission_of(schedule: Schedule) -> NewTask:
    """Return the submission of a run.

    Raise Conflict if the schedule cannot run: the owner may not submit it any more, its task does
    not exist, or its arguments do not fit the signature.
    """
    owners = find_owners([schedule])
    if problem := account_problem(schedule, owners) or shell_problem(schedule, owners):
        raise Conflict(
            f"Schedule {schedule.name} cannot run. {problem} Edit it to become its owner."
        )
    try:
        return parse_call(stored_call(schedule))
    except InvalidField as error:
        raise Conflict(f"Schedule {schedule.name} cannot run. {error}") from None


def _past_due_time(schedule: Schedule, value: object, now: datetime) -> datetime:
    """Return a due time of the past. Raise InvalidField with the one that follows."""
    due_at = _instant(schedule, value, "due_at", now)
    if due_at > now:
        raise InvalidField("due_at", f"{due_at.isoformat()} is in the future; a run starts now.")
    due = timing_of(schedule).next_after(due_at - _MICROSECOND)
    if due is not None and due.at == due_at:
        return due_at
    # The timing may have been edited since then.
    runs = ScheduleRun.objects.using(DEFAULT_DB_ALIAS)
    if runs.filter(schedule=schedule, due_at=due_at).exists():
        return due_at
    following = f"; the next one is {due.at.isoformat()}" if due is not None else ""
    raise InvalidField(
        "due_at", f"{due_at.isoformat()} is not a due time of the schedule{following}."
    )


def _range(
    schedule: Schedule, start: object, end: object, now: datetime
) -> tuple[datetime, datetime]:
    for field, value in (("start", start), ("end", end)):
        if value is None:
            raise InvalidField(field, "is required; give a time such as 2026-01-31T12:00:00Z.")
    first, last = _instant(schedule, start, "start", now), _instant(schedule, end, "end", now)
    zone = zone_of(schedule.timezone)
    local = last.astimezone(zone).isoformat()
    if last < first:
        raise InvalidField("end", f"{local} is before start, {first.astimezone(zone).isoformat()}.")
    if last > now:
        raise InvalidField(
            "end",
            f"{local} is in the future; only past due times can be back-filled.",
        )
    return first, last


def _instant(schedule: Schedule, value: object, field: str, now: datetime) -> datetime:
    """Convert a time to UTC. Without an offset it is local time of the schedule's zone."""
    return point_in_time(value, field, zone_of(schedule.timezone), now)
