"""Write the reasons of runs that were not created, and of schedules that are paused or ended."""

from __future__ import annotations

from datetime import datetime

from taskmaster.tasks.models.schedule import RunState, Schedule
from taskmaster.tasks.schedule_messages import DueSchedule
from taskmaster.tasks.timing.rules import MissedPolicy, TriggerKind


def rule_text(schedule: DueSchedule, state: RunState) -> str:
    """Return the rule by which a missed run is not made up."""
    if state is RunState.OUTSIDE_WINDOW:
        return f"Missed runs are made up for {schedule.catch_up_s:,g} s."
    match MissedPolicy(schedule.missed):
        case MissedPolicy.SKIP:
            return "Missed runs are not made up."
        case MissedPolicy.LATEST:
            return "Only the latest missed run is made up."
        case MissedPolicy.ALL:
            return f"Only the newest {schedule.missed_max:,} missed runs are made up."


def schedule_pause_text(schedule: DueSchedule) -> str:
    """Return why the schedule is paused. Empty: it is not."""
    if schedule.paused_at is None:
        return ""
    return pause_text("Paused", schedule.paused_at, schedule.paused_by, schedule.pause_reason)


def pause_text(what: str, since: datetime, by: str, reason: str) -> str:
    """Return since when, by whom and why something is paused."""
    who = f" by {by}" if by else ""
    why = f": {reason}" if reason else "."
    return f"{what}{who} since {_moment(since)} UTC{why}"


def end_text(schedule: Schedule | DueSchedule) -> str:
    """Return why no due time is left."""
    if schedule.ends_at is not None:
        return f"No due time is left before its end at {_moment(schedule.ends_at)} UTC."
    if schedule.trigger == TriggerKind.DATES:
        return "No date is left."
    return "No due time is left."


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
