"""Run schedules for users: now, or for a range of past due times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from django.db import transaction

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
BACKFILL_MAX = 10_000
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
        [run_id] = _create_runs(schedule, RunKind.MANUAL, [due], user)
        publish_change(f"ran schedule {schedule.name}", user)
    return ScheduleRun.objects.get(pk=run_id)


def preview_backfill(
    schedule: Schedule, start: datetime | str | None, end: datetime | str | None
) -> BackfillPreview:
    """Count the runs that a back-fill would create.

    The caller has checked the permission to view schedules. Raise the InvalidField of `backfill`.
    """
    due_times = _due_times_between(schedule, start, end, store.read_clock())
    if not due_times:
        return BackfillPreview(0, None, None)
    return BackfillPreview(len(due_times), due_times[0], due_times[-1])


def backfill(
    schedule: Schedule,
    start: datetime | str | None,
    end: datetime | str | None,
    *,
    user: ScheduleUser | None,
) -> int:
    """Create a run, due now, for each due time from `start` to `end`. Return their number.

    Both ends are included and must be in the past. Without an offset they are local times. Due
    times that have run already run again, and the overlap policy does not apply. All runs are
    created in one transaction. Raise the errors of `run_now`, and InvalidField for more than 10,000
    due times, or none.
    """
    check_user(user, RUN_SCHEDULE)
    with transaction.atomic():
        schedule, now = changes.lock(schedule.pk)
        check_runs(user, schedule, RUN_SCHEDULE)
        due_times = _due_times_between(schedule, start, end, now)
        if not due_times:
            raise InvalidField("end", "the range has no due time of the schedule.")
        _create_runs(schedule, RunKind.BACKFILL, due_times, user)
        publish_change(f"back-filled {len(due_times):,} runs of schedule {schedule.name}", user)
    return len(due_times)


def _create_runs(
    schedule: Schedule, kind: RunKind, due_times: Sequence[datetime], user: ScheduleUser | None
) -> list[int]:
    """Create a run with its task for each due time. Return the ids of the runs."""
    task = _submission(schedule)
    rows = store.insert_schedule_runs(
        schedule.pk,
        task,
        due_times,
        kind=kind,
        user=name_of(user),
        created_by_id=schedule.owner_id,
    )
    publish_submitted([task_id for _, task_id in rows], [task] * len(rows), name_of(user))
    wake_on_commit()
    return [run_id for run_id, _ in rows]


def _submission(schedule: Schedule) -> NewTask:
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
    if ScheduleRun.objects.filter(schedule=schedule, due_at=due_at).exists():
        return due_at
    following = f"; the next one is {due.at.isoformat()}" if due is not None else ""
    raise InvalidField(
        "due_at", f"{due_at.isoformat()} is not a due time of the schedule{following}."
    )


def _due_times_between(
    schedule: Schedule, start: object, end: object, now: datetime
) -> list[datetime]:
    for field, value in (("start", start), ("end", end)):
        if value is None:
            raise InvalidField(field, "is required; give a time such as 2026-01-31T12:00:00Z.")
    first, last = _instant(schedule, start, "start", now), _instant(schedule, end, "end", now)
    if last < first:
        raise InvalidField("end", f"{last.isoformat()} is before start, {first.isoformat()}.")
    if last > now:
        raise InvalidField(
            "end",
            f"{last.isoformat()} is in the future; only past due times can be back-filled.",
        )
    coming = (due.at for due in timing_of(schedule).after(first - _MICROSECOND))
    found = list(islice(takewhile(lambda due_at: due_at <= last, coming), BACKFILL_MAX + 1))
    if len(found) > BACKFILL_MAX:
        raise InvalidField(
            "end",
            f"the range has more than {BACKFILL_MAX:,} due times, the limit of one back-fill; the "
            f"last possible end is {found[BACKFILL_MAX - 1].isoformat()}.",
        )
    return found


def _instant(schedule: Schedule, value: object, field: str, now: datetime) -> datetime:
    """Convert a time to UTC. Without an offset it is local time of the schedule's zone."""
    return point_in_time(value, field, zone_of(schedule.timezone), now)
