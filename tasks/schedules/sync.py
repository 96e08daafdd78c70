"""Store the schedules that code declares.

The start of a coordinator adds and changes them, and ends none: during a rolling deployment, an old
coordinator that restarts does not know the new ones. `manage.py taskmaster schedules sync`, a step
of the deployment, also ends those that the code no longer declares.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import RunState, ScheduleSource
from taskmaster.tasks.schedules import changes, declarations
from taskmaster.tasks.schedules.changes import NO_LONGER_DECLARED
from taskmaster.tasks.schedules.declarations import DeclaredSchedule
from taskmaster.tasks.schedules.fields import FIELDS, parse_changes, parse_new
from taskmaster.tasks.schedules.pausing import record_passed
from taskmaster.tasks.schedules.users import publish_change
from taskmaster.tasks.schedules.withdrawal import withdraw_runs
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.timing.declared import as_of

log = logging.getLogger(__name__)

#: The fields of a declaration. Those that it leaves out get their defaults.
_ABSENT = dict.fromkeys(name for name in FIELDS if name != "name")


class Difference(StrEnum):
    """List what a synchronization does to a schedule."""

    ADDED = "added"
    CHANGED = "changed"
    ENDED = "ended"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SyncedSchedule:
    """Hold what was done, or would be done, to one schedule."""

    name: str
    difference: Difference
    #: The changed columns, the rule that refused it, or why it ended.
    detail: str = ""
    declared_in: str = ""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Hold the result of a synchronization."""

    schedules: Sequence[SyncedSchedule] = field(default=())

    def of(self, difference: Difference) -> list[SyncedSchedule]:
        """Return the schedules with this difference."""
        return [each for each in self.schedules if each.difference is difference]


def sync(*, end: bool, dry_run: bool = False) -> SyncReport:
    """Add and change the declared schedules. With `end`, end those that are declared no longer.

    With `dry_run`, change nothing. A schedule that is refused does not affect the others. Raise
    ConfigurationError if the declarations cannot be loaded.
    """
    declared = declarations.load()
    found = [_sync_one(each, dry_run=dry_run) for each in declared]
    if end:
        names = [each.name for each in declared]
        ended = [_end(name, dry_run=dry_run) for name in _left_over(names)]
        found += [each for each in ended if each is not None]
    return SyncReport(found)


def _sync_one(declared: DeclaredSchedule, *, dry_run: bool) -> SyncedSchedule:
    try:
        with transaction.atomic():
            difference, detail = _store(declared, dry_run=dry_run)
    except InvalidField as error:
        difference, detail = Difference.REFUSED, str(error)
    return SyncedSchedule(declared.name, difference, detail, declared.declared_in)


def _store(declared: DeclaredSchedule, *, dry_run: bool) -> tuple[Difference, str]:
    """Store one declaration. Of two coordinators, the second finds it unchanged."""
    stored = Schedule.objects.select_for_update(no_key=True).filter(name=declared.name).first()
    now = store.read_clock()
    if stored is None:
        return _add(declared, now, dry_run=dry_run), ""
    if stored.source != ScheduleSource.CODE:
        raise InvalidField(
            "name",
            f"{declared.name!r} belongs to a schedule of the console. Rename or delete that one, "
            "or give the declaration another name=…",
        )
    columns = parse_changes(stored, {**_ABSENT, **declared.fields}, as_of(declared.fields, now))
    revived = stored.ended_reason == NO_LONGER_DECLARED
    if columns or revived:
        if not dry_run:
            stored.declared_in = declared.declared_in
            _change(stored, columns, now)
        return Difference.CHANGED, ", ".join([*columns, *(["declared again"] if revived else [])])
    if stored.declared_in != declared.declared_in and not dry_run:
        # The line number changes with every edit of the file. That does not change the schedule.
        Schedule.objects.filter(pk=stored.pk).update(declared_in=declared.declared_in)
    return Difference.UNCHANGED, ""


def _add(declared: DeclaredSchedule, now: datetime, *, dry_run: bool) -> Difference:
    columns = parse_new({"name": declared.name, **declared.fields}, as_of(declared.fields, now))
    if dry_run:
        return Difference.ADDED
    schedule = Schedule(**columns, source=ScheduleSource.CODE, declared_in=declared.declared_in)
    changes.set_next(schedule, now, ())
    # Another coordinator may add it concurrently.
    Schedule.objects.bulk_create([schedule], ignore_conflicts=True)
    changes.wake_leader()
    publish_change(f"created schedule {declared.name}: it is declared in code", None)
    return Difference.ADDED


def _change(stored: Schedule, columns: Mapping[str, Any], now: datetime) -> None:
    """Change the columns, as the edit of a user does. A pause stays."""
    reason = "The declaration in code was changed."
    record_passed(stored, now, RunState.MISSED, reason)
    withdraw_runs(stored.pk, reason, by="")
    stored.refresh_from_db(using=DEFAULT_DB_ALIAS, fields=["runs_made"])
    for name, value in columns.items():
        setattr(stored, name, value)
    stored.ended_reason = ""
    changes.set_next(stored, now)
    changes.save(stored, now, [*columns, "declared_in"])
    publish_change(f"changed schedule {stored.name}: its declaration has changed", None)


def _left_over(names: Sequence[str]) -> list[str]:
    """Return the names of the schedules that only the code of before declared."""
    known = (
        Schedule.objects.using(DEFAULT_DB_ALIAS)
        .filter(source=ScheduleSource.CODE)
        .exclude(ended_reason=NO_LONGER_DECLARED)
    )
    return list(known.exclude(name__in=names).values_list("name", flat=True))


def _end(name: str, *, dry_run: bool) -> SyncedSchedule | None:
    """End a schedule. One that has ended by itself gets the reason, so that it can be deleted.

    Return None if another process has ended it before.
    """
    if dry_run:
        return SyncedSchedule(name, Difference.ENDED)
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update(no_key=True).filter(name=name).first()
        if schedule is None or schedule.ended_reason == NO_LONGER_DECLARED:
            return None
        now = store.read_clock()
        record_passed(schedule, now, RunState.MISSED, NO_LONGER_DECLARED)
        withdraw_runs(schedule.pk, NO_LONGER_DECLARED, by="")
        schedule.next_due_at = schedule.next_run_at = None
        schedule.ended_at, schedule.ended_reason = schedule.ended_at or now, NO_LONGER_DECLARED
        changes.save(schedule, now, ())
        publish_change(f"ended schedule {name}: it is no longer declared in code", None)
    return SyncedSchedule(name, Difference.ENDED)
