"""Serve a schedule's page: why it does not run, the calendar, the history and the next runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import is_fragment
from taskmaster.taskmaster_site.pages.schedule_actions import find, local_time
from taskmaster.taskmaster_site.pages.schedule_calendar import calendar
from taskmaster.taskmaster_site.pages.schedule_list import stream_url
from taskmaster.taskmaster_site.pages.schedule_rules import rule_chips
from taskmaster.taskmaster_site.pages.schedule_run_times import run_times
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Operation, Schedule, ScheduleRun
from taskmaster.tasks.models.operation import ACTIVE
from taskmaster.tasks.models.schedule import RunKind, RunState, ScheduleSource
from taskmaster.tasks.permissions import (
    CHANGE_SCHEDULE,
    RUN_SCHEDULE,
    VIEW,
    VIEW_SCHEDULE,
    may_shell,
)
from taskmaster.tasks.presentation.json_view import indented
from taskmaster.tasks.queries import schedules
from taskmaster.tasks.queries.schedule_reason import ScheduleReason, explain_now, explain_time
from taskmaster.tasks.queries.schedule_runs import ShownRun
from taskmaster.tasks.queries.schedules import ScheduleRow, ScheduleState
from taskmaster.tasks.registry import SHELL
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.timing.preview import Preview, preview
from taskmaster.tasks.timing.timing import Timing

#: Number of runs that the page reads, rows of its history, and due times to come.
_RUNS, _HISTORY_ROWS, _NEXT = 1_000, 20, 20
#: Number of runs that did not happen which *Run now* offers.
_OFFERED = 10
#: How long a back-fill is shown after its end, and number of back-fills on the page.
_BACKFILL_SHOWN, _BACKFILLS = timedelta(days=1), 5


@require_safe
@needs(VIEW_SCHEDULE)
def schedule(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Render the page, or for a script only the part that changes."""
    name = "fragments/schedule.html" if is_fragment(request) else "schedule.html"
    return render(request, f"taskmaster/{name}", _context(request, find(schedule_id)))


def _context(request: HttpRequest, found: Schedule) -> dict[str, Any]:
    now = datetime.now(UTC)
    timing = timing_of(found)
    row = schedules.read_row(found, most=_RUNS)
    ended = row.state == ScheduleState.ENDED
    history = Paginator(row.runs, _HISTORY_ROWS).get_page(request.GET.get("page"))
    may_start = request.user.has_perm(RUN_SCHEDULE) and (
        found.task != SHELL or may_shell(request.user)
    )
    return {
        "now": now,
        "schedule": found,
        "row": row,
        "reason": explain_now(row, schedules.scheduler_state(), now),
        "chips": rule_chips(found),
        "arguments": [indented(each) for each in (found.args, found.kwargs) if each],
        "preview": None if ended else _preview(found, timing, now),
        "skipped": _skipped(found, now),
        "weekdays": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
        "calendar": calendar(
            row.runs, iter(()) if ended else timing.after(now), found.timezone, now
        ),
        "backfills": _backfills(found, now),
        "history": history,
        "run_times": run_times(row.outcomes),
        "asked": request.GET.get("at", ""),
        "answer": _answer(request, row, timing, now),
        "offered": _offered(row),
        "may_run": may_start,
        "may_pause": request.user.has_perm(RUN_SCHEDULE),
        "may_change": found.source == ScheduleSource.CONSOLE
        and request.user.has_perm(CHANGE_SCHEDULE),
        "its_tasks": urlencode({"schedule": found.name}),
        "sees_tasks": request.user.has_perm(VIEW),
        "stream": stream_url(request),
    }


def _offered(row: ScheduleRow) -> list[ShownRun]:
    """Return the newest due times without a task, for which *Run now* can create one."""
    return list(islice((run for run in row.runs if run.is_offered), _OFFERED))


def _backfills(found: Schedule, now: datetime) -> list[Operation]:
    """Return the newest back-fills that have not ended, or ended within a day."""
    shown = Q(state__in=ACTIVE) | Q(finished_at__gt=now - _BACKFILL_SHOWN)
    return list(Operation.objects.filter(shown, schedule=found).order_by("-pk")[:_BACKFILLS])


def _preview(found: Schedule, timing: Timing, now: datetime) -> Preview:
    left = None if found.max_runs is None else max(0, found.max_runs - found.runs_made)
    return preview(timing, now, _NEXT, left)


def _skipped(found: Schedule, now: datetime) -> set[datetime]:
    """Return the due times to come that a user has skipped."""
    runs = ScheduleRun.objects.filter(
        schedule=found, due_at__gt=now, kind=RunKind.SCHEDULED, state=RunState.SKIPPED
    )
    return set(runs.values_list("due_at", flat=True))


def _answer(
    request: HttpRequest, row: ScheduleRow, timing: Timing, now: datetime
) -> ScheduleReason | None:
    """Answer the question why it did not run at the time `at`, in the zone of the schedule."""
    asked = request.GET.get("at", "")
    if not asked:
        return None
    try:
        at = local_time("at", asked, row.schedule.timezone)
    except InvalidField as error:
        return ScheduleReason("failed", str(error))
    return explain_time(row.schedule, timing, row.runs, at, now)
