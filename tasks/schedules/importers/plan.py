"""Decide which of the found schedules can be created, and create them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import transaction

from taskmaster.tasks.errors import Conflict, InvalidField
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.fields import parse_new
from taskmaster.tasks.schedules.importers.found import FoundSchedule
from taskmaster.tasks.timing.parse import parse_timing
from taskmaster.tasks.timing.words import describe


class ImportState(StrEnum):
    """List what an import does with a schedule."""

    NEW = "new"
    CREATED = "created"
    #: A schedule of this name exists already.
    EXISTS = "exists"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PlannedSchedule:
    """Hold a found schedule and what the import does with it."""

    found: FoundSchedule
    state: ImportState
    #: When it is due, in words. Empty if it cannot be created.
    when: str = ""
    #: Why it cannot be created, or what is different here.
    note: str = ""


def plan(found: Iterable[FoundSchedule], now: datetime) -> list[PlannedSchedule]:
    """Return what an import would do, in the order of the source. Change nothing."""
    taken = set(Schedule.objects.values_list("name", flat=True))
    planned: list[PlannedSchedule] = []
    for each in found:
        planned.append(_plan_one(each, taken, now))
        taken.add(each.name)
    return planned


def _plan_one(found: FoundSchedule, taken: set[str], now: datetime) -> PlannedSchedule:
    if found.obstacle:
        return PlannedSchedule(found, ImportState.REFUSED, note=found.obstacle)
    if found.name in taken:
        note = "A schedule of this name exists and is left as it is."
        return PlannedSchedule(found, ImportState.EXISTS, note=note)
    try:
        parse_new({"name": found.name, **found.fields}, now)
        parsed = parse_timing(found.fields, now)
    except InvalidField as error:
        return PlannedSchedule(found, ImportState.REFUSED, note=str(error))
    when = f"{describe(parsed.timing)}, {parsed.timezone}"
    return PlannedSchedule(found, ImportState.NEW, when, "; ".join(found.notes))


def create(planned: Sequence[PlannedSchedule]) -> list[PlannedSchedule]:
    """Create the new schedules. Return all with their state after that."""
    return [_create_one(each) if each.state is ImportState.NEW else each for each in planned]


def _create_one(planned: PlannedSchedule) -> PlannedSchedule:
    found = planned.found
    try:
        with transaction.atomic():
            schedule = service.create({"name": found.name, **found.fields}, user=None)
            if found.pause_reason:
                service.pause(schedule, found.pause_reason, user=None)
    except (Conflict, InvalidField) as error:
        # It was created, or its last date passed, since the plan was made.
        return PlannedSchedule(found, ImportState.REFUSED, note=str(error))
    return PlannedSchedule(found, ImportState.CREATED, planned.when, planned.note)
