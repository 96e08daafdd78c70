"""List the rules of a schedule: its kind of trigger, daylight saving, missed runs, overlaps."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

#: Maximum number of characters of the name of a schedule.
MAX_SCHEDULE_NAME = 100
#: Maximum number of characters of a cron expression, and of the name of a time zone.
MAX_CRON = 200
MAX_ZONE = 64
MAX_DATES = 1_000
#: A schedule must be due within this time. An interval must not be longer.
HORIZON = timedelta(days=5 * 366)
#: Limits of `max_runs` (the column's), `missed_max` and `jitter_s`.
MAX_RUNS = 2**31 - 1
MAX_MISSED = 1_000
MAX_JITTER_S = 86_400
#: A due time counts as missed when its run was not created within this time.
MISSED_AFTER_S = 60
#: Limit and default of `catch_up_s`.
MAX_CATCH_UP_S = 366 * 86_400
CATCH_UP_S = 86_400
#: Default of `missed_max`.
MISSED_MAX = 10


class TriggerKind(StrEnum):
    """List the kinds of triggers."""

    CRON = "cron"
    INTERVAL = "interval"
    DATES = "dates"


class SkippedTime(StrEnum):
    """List the rules for a local time that the clocks skip."""

    #: As Debian's cron: `shift` for a fixed time, `skip` if the hour or the minute is a wildcard.
    CRON = "cron"
    #: No run.
    SKIP = "skip"
    #: Run right after the change.
    SHIFT = "shift"


class RepeatedTime(StrEnum):
    """List the rules for a local time that occurs twice."""

    #: As Debian's cron: `first` for a fixed time, `both` if the hour or the minute is a wildcard.
    CRON = "cron"
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class MissedPolicy(StrEnum):
    """List the rules for due times whose run was not created within 60 s."""

    SKIP = "skip"
    #: Make up the latest one.
    LATEST = "latest"
    #: Make up the newest `missed_max` ones.
    ALL = "all"


class OverlapPolicy(StrEnum):
    """List the rules for a due time at which an earlier run has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    #: Start when the earlier run has ended. At most one run waits.
    QUEUE_ONE = "queue_one"
    CANCEL_RUNNING = "cancel_running"
