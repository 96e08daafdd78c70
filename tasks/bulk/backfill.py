"""Back-fill a schedule: create a run for each due time of a range in the past, in chunks."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from itertools import islice, takewhile

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, transaction

from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk_actions import Action
from taskmaster.tasks.errors import Conflict, InvalidField, NotAllowed, ScheduleNotFound
from taskmaster.tasks.messages import ChangedTask
from taskmaster.tasks.models import Operation, Schedule
from taskmaster.tasks.models.schedule import RunKind
from taskmaster.tasks.permissions import RUN_SCHEDULE
from taskmaster.tasks.schedules.fields import stored_call
from taskmaster.tasks.schedules.manual_runs import preview_backfill, submission_of
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.schedules.users import ScheduleUser, check_runs, check_user, id_of, name_of
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.wakeup import wake_on_commit

_MICROSECOND = timedelta(microseconds=1)
#: Columns that decide the due times of a schedule.
_TIMING = (
    "trigger",
    "cron",
    "interval_s",
    "anchor",
    "dates",
    "timezone",
    "skipped_time",
    "repeated_time",
    "starts_at",
    "ends_at",
)


def start(
    schedule: Schedule,
    start: datetime | str | None,
    end: datetime | str | None,
    *,
    user: ScheduleUser | None,
    expected: int | None = None,
) -> Operation:
    """Queue the creation of a run, due now, for each due time from `start` to `end`.

    Both ends are included and must be in the past. Without an offset they are local times. Due
    times that have run already run again, and the overlap policy does not apply. The number of due
    times, the first and the last are stored with the operation. `user` is None for the command
    line, which has all permissions. `expected` is the number of due times that the user has seen.

    Raise NotAllowed, ScheduleNotFound, InvalidField for a bad range, more than 100,000 due times,
    or none, and Conflict if the schedule cannot run, or if the range has another number of due
    times than expected.
    """
    check_user(user, RUN_SCHEDULE)
    # The chunks compare the digest of the row that is read here. So it needs no lock, which would
    # keep the leader from creating runs while the due times are counted.
    schedule = _read(schedule.pk)
    check_runs(user, schedule, RUN_SCHEDULE)
    found = preview_backfill(schedule, start, end)
    if not found.count:
        raise InvalidField("end", "the range has no due time of the schedule.")
    if expected is not None and found.count != expected:
        raise Conflict(
            f"The range has {found.count:,} due times, not {expected:,}. Nothing is created; "
            "enter the range again to see the new number."
        )
    submission_of(schedule)
    with transaction.atomic():
        operation = Operation.objects.create(
            action=Action.BACKFILL,
            schedule_id=schedule.pk,
            schedule_name=schedule.name,
            schedule_digest=digest(schedule),
            first_due_at=found.first,
            last_due_at=found.last,
            total=found.count,
            created_by_id=id_of(user),
            user=name_of(user),
        )
        service.queue(operation, using=DEFAULT_DB_ALIAS)
    operation.refresh_from_db(fields=["created_at"])
    return operation


def create_runs(operation: Operation, limit: int, using: str) -> tuple[list[ChangedTask], bool]:
    """Create the next runs of a back-fill, with their tasks, in the transaction of the chunk.

    `operation` is locked, and its `created_until` moves on. Return the tasks, and whether no due
    time is left. Raise Conflict if the schedule was changed or deleted, or cannot run any more.
    """
    schedule = _unchanged(operation, using)
    _check_user(operation, schedule, using)
    task = submission_of(schedule)
    first, last = operation.first_due_at, operation.last_due_at
    assert first is not None
    assert last is not None
    after = operation.created_until or first - _MICROSECOND
    coming = (due.at for due in timing_of(schedule).after(after))
    # One more than the limit shows whether this chunk is the last one.
    due_times = list(islice(takewhile(lambda due_at: due_at <= last, coming), limit + 1))
    is_last = len(due_times) <= limit
    due_times = due_times[:limit]
    rows = store.insert_schedule_runs(
        schedule.pk,
        task,
        due_times,
        kind=RunKind.BACKFILL,
        user=operation.user,
        created_by_id=schedule.owner_id,
        using=using,
    )
    if due_times:
        operation.created_until = due_times[-1]
        wake_on_commit(using)
    return [ChangedTask(task_id, task.name, task.queue) for _, task_id in rows], is_last


def _read(schedule_id: int, using: str = DEFAULT_DB_ALIAS) -> Schedule:
    schedule = Schedule.objects.using(using).filter(pk=schedule_id).first()
    if schedule is None:
        raise ScheduleNotFound(schedule_id)
    return schedule


def _unchanged(operation: Operation, using: str) -> Schedule:
    """Return the schedule, which is not deleted until the chunk ends.

    Raise Conflict unless its due times and its tasks are those of the confirmed back-fill.
    """
    name = operation.schedule_name
    schedule_id = operation.schedule_id
    assert schedule_id is not None
    if not store.keep_schedule(schedule_id, using=using):
        raise Conflict(f"Schedule {name} was deleted.")
    schedule = _read(schedule_id, using)
    if digest(schedule) != operation.schedule_digest:
        raise Conflict(
            f"Schedule {name} was edited after the back-fill was started. The runs that were "
            "created stay; back-fill the rest of the range again."
        )
    return schedule


def _check_user(operation: Operation, schedule: Schedule, using: str) -> None:
    """Raise Conflict unless the user who asked for the back-fill may still run the schedule."""
    user = None
    if operation.created_by_id is not None:
        users = get_user_model()._default_manager.using(using)
        user = users.filter(pk=operation.created_by_id).first()
        if user is None:
            raise Conflict(f"The user {operation.user} no longer exists.")
    try:
        check_runs(user, schedule, RUN_SCHEDULE)
    except NotAllowed as refusal:
        who = operation.user or "The command line"
        raise Conflict(f"{who} may not run schedule {schedule.name}. {refusal}") from None


def digest(schedule: Schedule) -> str:
    """Return a digest of the fields that decide the due times of a schedule, and its tasks."""
    timing = {name: getattr(schedule, name) for name in _TIMING}
    content = json.dumps([timing, stored_call(schedule)], default=str)
    return hashlib.sha256(content.encode()).hexdigest()
