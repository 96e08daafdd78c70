"""Format schedules, their runs and previews for a terminal or a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from taskmaster.tasks.cli.terminal import TerminalPrinter, ago
from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun, Task
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.queries.schedules import next_run_times
from taskmaster.tasks.schedules.fields import OPTIONS
from taskmaster.tasks.schedules.stored import state_of, timing_of
from taskmaster.tasks.schedules.sync import Difference, SyncReport
from taskmaster.tasks.timing.preview import Preview, PreviewRow
from taskmaster.tasks.timing.words import describe

_HEAD = ("NAME", "STATE", "NEXT RUN", "LAST RUN", "WHEN", "TASK", "SOURCE")
_RUNS_HEAD = ("DUE", "STATE", "KIND", "TASK", "REASON")
_REPORT_HEAD = ("NAME", "CHANGE", "DETAIL", "DECLARED IN")
#: A schedule with the default of each rule and option.
_DEFAULTS = Schedule()
#: Number of runs that `show` prints.
_RUNS_SHOWN = 10
#: Fields that `show` prints if they have a value other than the default.
_RULES = (
    "skipped_time",
    "repeated_time",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_s",
    "missed",
    "missed_max",
    "catch_up_s",
    "overlap",
)


def with_last_run(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    """Add the state and the time of the newest run that is due, and the status of its task."""
    due = ScheduleRun.objects.filter(schedule=OuterRef("pk"), run_at__lte=Now())
    newest = due.order_by("-due_at", "-id")
    status = Task.objects.filter(pk=OuterRef("last_task")).values("status")
    return schedules.select_related("owner").annotate(
        last_state=Subquery(newest.values("state")[:1]),
        last_run_at=Subquery(newest.values("run_at")[:1]),
        last_task=Subquery(newest.values("task_id")[:1]),
        last_status=Subquery(status),
    )


def next_run(schedule: Schedule) -> str:
    """Return when the schedule runs next, relative to now. Its run may have been created ahead."""
    return _next_run(schedule, next_run_times([schedule])[schedule.pk])


def _next_run(schedule: Schedule, run_at: datetime | None) -> str:
    return "–" if run_at is None or schedule.paused_at is not None else ago(run_at)


def all_paused(state: SchedulerState) -> str:
    """Return the sentence for the pause of everything."""
    by = f" by {state.paused_by}" if state.paused_by else ""
    assert state.paused_at is not None
    return f"All schedules are paused{by} since {_moment(state.paused_at)}: {state.pause_reason}"


def table(schedules: Sequence[Schedule], out: TerminalPrinter) -> None:
    """Write one line per schedule."""
    times = next_run_times(schedules)
    rows = (_cells(schedule, times[schedule.pk]) for schedule in schedules)
    out.columns(_HEAD, rows, marked=False)


def _cells(schedule: Schedule, next_at: datetime | None) -> tuple[str, ...]:
    return (
        schedule.name,
        state_of(schedule),
        _next_run(schedule, next_at),
        _last_run(schedule),
        _when(schedule),
        _runs(schedule),
        schedule.source,
    )


def _last_run(schedule: Any) -> str:
    if schedule.last_state is None:
        return "–"
    return f"{schedule.last_status or schedule.last_state} {ago(schedule.last_run_at)}"


def _runs(schedule: Schedule) -> str:
    command = schedule.kwargs.get("command") if schedule.task == "shell" else None
    return schedule.task if command is None else f"shell: {command}"


def newest_runs(schedule: Schedule) -> list[ScheduleRun]:
    """Return the newest runs of a schedule, each with the status of its task."""
    status = Task.objects.filter(pk=OuterRef("task_id")).values("status")
    return list(schedule.runs.annotate(status=Subquery(status))[:_RUNS_SHOWN])


def details(schedule: Schedule, runs: Sequence[ScheduleRun], out: TerminalPrinter) -> None:
    """Write all details of a schedule, and the given runs."""
    out.line(f"Schedule {schedule.name}  {state_of(schedule)}")
    out.facts(_facts(schedule))
    if runs:
        out.line()
        out.columns(_RUNS_HEAD, map(_run_cells, runs), marked=False)


def _facts(schedule: Schedule) -> Iterator[tuple[str, str]]:
    """Yield the label and value of each line that `show` prints."""
    yield "when", _when(schedule)
    yield "trigger", _trigger(schedule)
    yield "task", schedule.task
    for name in ("args", "kwargs"):
        if value := getattr(schedule, name):
            yield name, json.dumps(value, ensure_ascii=False)
    for name in (*OPTIONS, *_RULES):
        value = getattr(schedule, name)
        if value is not None and value != getattr(_DEFAULTS, name):
            yield name, _value(value)
    yield "source", f"code, {schedule.declared_in}" if schedule.declared_in else schedule.source
    if schedule.owner:
        yield "owner", schedule.owner.get_username()
    if schedule.paused_at is not None:
        by = f" by {schedule.paused_by}" if schedule.paused_by else ""
        yield "paused", f"{_moment(schedule.paused_at)}{by}: {schedule.pause_reason}"
    if schedule.ended_at is not None:
        yield "ended", f"{_moment(schedule.ended_at)}: {schedule.ended_reason}"
    next_at = next_run_times([schedule])[schedule.pk]
    if next_at is not None and schedule.paused_at is None:
        yield "next run", f"{_moment(next_at)}  ({ago(next_at)})"


def _when(schedule: Schedule) -> str:
    return f"{describe(timing_of(schedule))}, {schedule.timezone}"


def _trigger(schedule: Schedule) -> str:
    if schedule.cron:
        return f"cron {schedule.cron}"
    if schedule.interval_s is not None:
        return f"interval {schedule.interval_s:g} s, anchor {_value(schedule.anchor)}"
    return "dates " + ", ".join(map(_value, schedule.dates))


def _run_cells(run: Any) -> tuple[str, ...]:
    due = _moment(run.due_at)
    if run.count > 1:
        due = f"{run.count:,} times from {due}"
    state = run.state
    if state == RunState.CREATED:
        state = run.status or "deleted"
    return (due, state, run.kind, str(run.task_id or "–"), run.reason)


def _moment(when: datetime) -> str:
    return when.astimezone().isoformat(" ", "seconds")


def _value(value: object) -> str:
    if isinstance(value, datetime):
        return _moment(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_preview(shown: Preview, out: TerminalPrinter) -> None:
    """Write the due times, and the days on which the clocks change."""
    out.line(f"{shown.words[:1].upper()}{shown.words[1:]}, {shown.timezone}")
    _print_rows(shown.rows, out)
    if shown.is_complete:
        out.line("  No run is due after that." if shown.rows else "  No run is due.")
    if shown.later_changes:
        out.line("Later, when the clocks change:")
        _print_rows(shown.later_changes, out)


def _print_rows(rows: Sequence[PreviewRow], out: TerminalPrinter) -> None:
    for row in rows:
        if row.at is None:
            out.line(f"  {row.local:%a %Y-%m-%d %H:%M:%S}  no run  {row.mark}")
        else:
            out.line(f"  {row.at:%a %Y-%m-%d %H:%M:%S} {row.offset}  {row.mark}".rstrip())
        if row.sentence:
            out.line(f"    {row.sentence}")


def print_report(report: SyncReport, out: TerminalPrinter, *, dry_run: bool) -> None:
    """Write the differences between the code and the stored schedules."""
    rows = [
        (each.name, each.difference, each.detail, each.declared_in)
        for each in report.schedules
        if each.difference is not Difference.UNCHANGED
    ]
    if rows:
        out.columns(_REPORT_HEAD, rows, marked=False)
    counts = ", ".join(f"{len(report.of(each))} {each}" for each in Difference)
    out.line(f"Dry run, nothing is changed: {counts}." if dry_run else f"{counts}.")


def report_json(report: SyncReport) -> list[dict[str, Any]]:
    """Return the report as JSON."""
    return [asdict(each) for each in report.schedules]
