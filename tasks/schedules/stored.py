"""Read the timing and the state of a stored schedule, and preview its due times."""

from __future__ import annotations

from datetime import timedelta

from taskmaster.tasks.models import Schedule
from taskmaster.tasks.schedule_messages import DueSchedule
from taskmaster.tasks.store.schedule_changes import read_clock
from taskmaster.tasks.timing.preview import Preview, preview
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime, TriggerKind
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import (
    CronTrigger,
    DatesTrigger,
    IntervalTrigger,
    Trigger,
)
from taskmaster.tasks.timing.zones import zone_of


def timing_of(schedule: Schedule | DueSchedule) -> Timing:
    """Return the timing of a stored schedule, whose fields are valid."""
    return Timing(_trigger_of(schedule), schedule.starts_at, schedule.ends_at)


def state_of(schedule: Schedule) -> str:
    """Return `active`, `paused` or `ended`. A pause of all schedules is not part of it."""
    if schedule.ended_at is not None:
        return "ended"
    return "paused" if schedule.paused_at is not None else "active"


def preview_stored(schedule: Schedule, count: int = 20) -> Preview:
    """Return the next due times of a stored schedule, as if it were not paused."""
    runs_left = None
    if schedule.max_runs is not None:
        runs_left = max(0, schedule.max_runs - schedule.runs_made)
    return preview(timing_of(schedule), read_clock(), count, runs_left)


def _trigger_of(schedule: Schedule | DueSchedule) -> Trigger:
    zone = zone_of(schedule.timezone)
    match TriggerKind(schedule.trigger):
        case TriggerKind.CRON:
            return CronTrigger(
                schedule.cron,
                zone,
                SkippedTime(schedule.skipped_time),
                RepeatedTime(schedule.repeated_time),
            )
        case TriggerKind.INTERVAL:
            assert schedule.interval_s is not None
            assert schedule.anchor is not None
            return IntervalTrigger(timedelta(seconds=schedule.interval_s), schedule.anchor, zone)
        case TriggerKind.DATES:
            return DatesTrigger(tuple(sorted(schedule.dates)), zone)
