"""Explain why a schedule does not run, or did not run at a given time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from taskmaster.tasks.models import Schedule, SchedulerState
from taskmaster.tasks.queries.schedule_runs import ShownRun
from taskmaster.tasks.queries.schedules import SEARCH_SILENT_S, ScheduleRow, ScheduleState
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.zones import zone_of

#: A question names a minute.
_MINUTE = timedelta(minutes=1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ScheduleReason:
    """Hold the answer: the colour token, a headline, facts, and the task concerned."""

    kind: str
    headline: str
    facts: list[str] = field(default_factory=list)
    task_id: int | None = None


def explain_now(
    row: ScheduleRow, everything: SchedulerState, now: datetime
) -> ScheduleReason | None:
    """Return why the schedule does not run now, or why its newest run failed. None: all is well."""
    schedule, newest = row.schedule, row.newest
    if row.state == ScheduleState.PAUSED:
        return _paused(schedule, everything)
    if row.state == ScheduleState.ENDED:
        return ScheduleReason("cancelled", "It has ended.", [schedule.ended_reason])
    if row.late_since is not None:
        return _late(row, everything, now)
    if newest is not None:
        return _failed(newest) if newest.ran else _did_not_run(newest, schedule.timezone)
    if schedule.starts_at is not None and schedule.starts_at > now:
        start = local_text(schedule.starts_at, schedule.timezone)
        return ScheduleReason("pending", f"It has not begun: its start is {start}.")
    return None


def explain_time(
    schedule: Schedule, timing: Timing, runs: Sequence[ShownRun], at: datetime, now: datetime
) -> ScheduleReason:
    """Return what happened in the minute from `at`. `runs` are the newest runs, newest first."""
    zone = schedule.timezone
    run = next((each for each in runs if _covers(each, at)), None)
    if run is not None and not run.ran:
        return _did_not_run(run, zone)
    if run is not None:
        headline = f"It ran: the task of {local_text(run.row.due_at, zone)} is {run.word}."
        return ScheduleReason(run.kind, headline, task_id=run.row.task_id)
    if outside := _outside(schedule, at):
        return ScheduleReason("cancelled", outside)
    when = local_text(at, zone)
    due = timing.next_after(at - _MICROSECOND)
    if due is None or due.at >= at + _MINUTE:
        after = f" The next due time after it is {local_text(due.at, zone)}." if due else ""
        return ScheduleReason("cancelled", f"It is not due at {when}, as its rules are now.{after}")
    if at > now:
        return ScheduleReason("pending", f"It is due then, at {local_text(due.at, zone)}.")
    changed = local_text(schedule.changed_at, zone)
    return ScheduleReason(
        "cancelled",
        f"No run of {when} is stored.",
        [
            f"The schedule was changed last {changed}, so it may not have been due then. Runs "
            "older than the oldest one in the history are deleted."
        ],
    )


def _outside(schedule: Schedule, at: datetime) -> str:
    """Return why the schedule cannot be due at this time, or an empty text."""
    zone = schedule.timezone
    when = local_text(at, zone)
    if schedule.starts_at is not None and at < schedule.starts_at:
        return f"{when} is before its start, {local_text(schedule.starts_at, zone)}."
    if schedule.ends_at is not None and at > schedule.ends_at:
        return f"{when} is after its end, {local_text(schedule.ends_at, zone)}."
    if at < schedule.created_at:
        return (
            f"The schedule did not exist: it was created {local_text(schedule.created_at, zone)}."
        )
    return ""


def local_text(when: datetime, zone: str) -> str:
    """Return a time in a zone as text: `Wed 17 Mar 2027 02:30`."""
    return f"{when.astimezone(zone_of(zone)):%a %d %b %Y %H:%M}"


def _covers(run: ShownRun, at: datetime) -> bool:
    """Return whether a due time of the run may lie in the minute from `at`."""
    if run.row.kind != "scheduled":
        return False
    last = run.row.last_due_at or run.row.due_at
    return run.row.due_at < at + _MINUTE and last >= at


def _paused(schedule: Schedule, everything: SchedulerState) -> ScheduleReason:
    rule = "Due times until it is resumed are recorded as paused, and are not made up."
    if schedule.paused_at is None and everything.paused_at is not None:
        by, since, reason = everything.paused_by, everything.paused_at, everything.pause_reason
        headline = "Every schedule is paused"
    elif schedule.paused_at is not None:
        by, since, reason = schedule.paused_by, schedule.paused_at, schedule.pause_reason
        headline = "It is paused"
    else:
        # Resumed between two statements.
        return ScheduleReason("operator", "It is paused.", [rule])
    who = by or "the command line"
    return ScheduleReason(
        "operator",
        f"{headline}: “{reason}”" if reason else f"{headline}.",
        [f"Paused by {who} since {local_text(since, schedule.timezone)}.", rule],
    )


def _late(row: ScheduleRow, everything: SchedulerState, now: datetime) -> ScheduleReason:
    assert row.late_since is not None
    due = f"Due {local_text(row.late_since, row.schedule.timezone)}."
    made = row.newest_made
    if made is not None and row.late_since == made.row.run_at:
        headline = row.pending_reason or "Its task has not started yet."
        return ScheduleReason("pending", headline, [due], made.row.task_id)
    checked_at = everything.checked_at
    facts = [due]
    if checked_at is None:
        facts.append("No coordinator has ever searched for due schedules.")
    elif (now - checked_at).total_seconds() > SEARCH_SILENT_S:
        since = local_text(checked_at, row.schedule.timezone)
        facts.append(f"No coordinator has searched for due schedules since {since}.")
    return ScheduleReason("pending", "No coordinator has created the due run.", facts)


def _failed(run: ShownRun) -> ScheduleReason | None:
    if run.word != "failed":
        return None
    headline = f"The last run failed: {run.row.error}" if run.row.error else "The last run failed."
    return ScheduleReason("failed", headline, task_id=run.row.task_id)


def _did_not_run(run: ShownRun, zone: str) -> ScheduleReason:
    due = local_text(run.row.due_at, zone)
    if run.row.last_due_at is not None and run.row.times > 1:
        last = local_text(run.row.last_due_at, zone)
        headline = f"The {run.row.times:,} runs due from {due} to {last}: {run.word}."
    else:
        headline = f"The run due {due}: {run.word}."
    return ScheduleReason(run.kind, headline, [run.row.reason] if run.row.reason else [])
