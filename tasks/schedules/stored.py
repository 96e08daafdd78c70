"""Read the timing of a stored schedule."""

from __future__ import annotations

from datetime import timedelta

from taskmaster.tasks.models import Schedule
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime, TriggerKind
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import (
    CronTrigger,
    DatesTrigger,
    IntervalTrigger,
    Trigger,
)
from taskmaster.tasks.timing.zones import zone_of


def timing_of(schedule: Schedule) -> Timing:
    """Return the timing of a stored schedule, whose fields are valid."""
    return Timing(_trigger_of(schedule), schedule.starts_at, schedule.ends_at)


def _trigger_of(schedule: Schedule) -> Trigger:
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
