"""Name the rules of a schedule that its page shows: those that differ from the default first."""

from __future__ import annotations

from typing import NamedTuple

from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import ScheduleSource
from taskmaster.tasks.queries.schedule_reason import local_text
from taskmaster.tasks.queries.timeline import precise
from taskmaster.tasks.timing.rules import MissedPolicy, TriggerKind


class Chip(NamedTuple):
    """Hold the name of a rule and its value. `is_code` selects the font of code."""

    name: str
    value: str
    is_code: bool = False


def rule_chips(schedule: Schedule) -> list[Chip]:
    """Return the rules of the schedule."""
    chips = [
        _trigger(schedule),
        Chip("zone", schedule.timezone),
        Chip("task", schedule.task, True),
        Chip("overlap", schedule.overlap.replace("_", " ")),
        Chip("missed", _missed(schedule)),
    ]
    if schedule.trigger == TriggerKind.CRON and schedule.timezone != "UTC":
        chips += [
            Chip("skipped time", _as_cron(schedule.skipped_time)),
            Chip("repeated time", _as_cron(schedule.repeated_time)),
        ]
    if schedule.jitter_s:
        chips.append(Chip("jitter", f"up to {precise(schedule.jitter_s)}"))
    if schedule.starts_at is not None:
        chips.append(Chip("from", local_text(schedule.starts_at, schedule.timezone)))
    if schedule.ends_at is not None:
        chips.append(Chip("until", local_text(schedule.ends_at, schedule.timezone)))
    if schedule.max_runs is not None:
        chips.append(Chip("runs", f"{schedule.runs_made:,} of {schedule.max_runs:,}"))
    chips += _options(schedule)
    if schedule.source == ScheduleSource.CODE:
        chips.append(Chip("declared in", schedule.declared_in or "code", True))
    else:
        chips.append(Chip("owner", str(schedule.owner or "none")))
    return chips


def _trigger(schedule: Schedule) -> Chip:
    match schedule.trigger:
        case TriggerKind.CRON:
            return Chip("cron", schedule.cron, True)
        case TriggerKind.INTERVAL:
            return Chip("every", precise(schedule.interval_s or 0))
        case _:
            return Chip("dates", f"{len(schedule.dates):,}")


def _missed(schedule: Schedule) -> str:
    within = f"within {precise(schedule.catch_up_s)}"
    match schedule.missed:
        case MissedPolicy.SKIP:
            return "skip"
        case MissedPolicy.ALL:
            return f"up to {schedule.missed_max:,}, {within}"
        case _:
            return f"latest, {within}"


def _as_cron(rule: str) -> str:
    return "as cron" if rule == "cron" else rule


def _options(schedule: Schedule) -> list[Chip]:
    """Return the options of the submission that the schedule sets itself."""
    given = {
        "queue": schedule.queue,
        "priority": schedule.priority,
        "attempts": schedule.max_attempts,
        "time-out": None if schedule.timeout_s is None else precise(schedule.timeout_s),
        "retry delay": None if schedule.retry_base_s is None else precise(schedule.retry_base_s),
        "longest delay": None if schedule.retry_cap_s is None else precise(schedule.retry_cap_s),
        "on lost contact": schedule.on_lost_contact,
        "tags": ", ".join(schedule.tags) if schedule.tags else None,
    }
    return [Chip(name, str(value)) for name, value in given.items() if value is not None]
