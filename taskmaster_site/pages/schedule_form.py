"""Serve the form that creates or edits a schedule, and the preview of what is typed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.schedule_actions import find
from taskmaster.taskmaster_site.pages.schedule_fields import ScheduleForm, initial_of
from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.tasks.forms import creatable_tasks
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import ScheduleSource
from taskmaster.tasks.permissions import CHANGE_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.queries.choices import known_queues
from taskmaster.tasks.schedules import service
from taskmaster.tasks.timing.parse import parse_timing
from taskmaster.tasks.timing.preview import preview as preview_of
from taskmaster.tasks.timing.zones import zone_names

#: Number of due times of the preview.
_ROWS = 8


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW_SCHEDULE, CHANGE_SCHEDULE)
def new(request: HttpRequest) -> HttpResponse:
    """Show the form, or create the schedule and continue with its page."""
    form = ScheduleForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            created = service.create(form.fields_of_rest(), user=request.user)
        except TaskMasterError as error:
            form.show(error)
        else:
            return redirect("taskmaster:schedule", created.pk)
    return _page(request, form)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(VIEW_SCHEDULE, CHANGE_SCHEDULE)
def edit(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Show the form of the schedule, or change it and continue with its page."""
    schedule = find(schedule_id)
    if schedule.source == ScheduleSource.CODE:
        # Its page says that code declares it.
        return redirect("taskmaster:schedule", schedule_id)
    if request.method != "POST":
        return _page(request, ScheduleForm(initial=initial_of(schedule)), schedule)
    form = ScheduleForm(request.POST)
    if form.is_valid():
        try:
            service.update(
                schedule,
                form.fields_of_rest(),
                user=request.user,
                version=form.cleaned_data["version"],
            )
        except TaskMasterError as error:
            form.show(error)
        else:
            return redirect("taskmaster:schedule", schedule_id)
    return _page(request, form, schedule)


@require_POST
@needs(VIEW_SCHEDULE, CHANGE_SCHEDULE)
def preview(request: HttpRequest) -> HttpResponse:
    """Render the due times of what is typed, or the rule that it breaks."""
    context = {"follows": True, **_preview(ScheduleForm(request.POST))}
    return render(request, "taskmaster/fragments/schedule_preview.html", context)


def _page(
    request: HttpRequest, form: ScheduleForm, schedule: Schedule | None = None
) -> HttpResponse:
    context = {
        "form": form,
        "schedule": schedule,
        "tasks": creatable_tasks(request.user),
        "queues": known_queues(),
        "zones": sorted(_usual(zone_names())),
        **(_preview(form) if schedule or form.is_bound else {}),
    }
    status = 422 if form.errors else 200
    return render(request, "taskmaster/schedule_form.html", context, status=status)


def _usual(names: Iterable[str]) -> list[str]:
    """Return the zones that the form suggests: those of a place, and UTC."""
    return [name for name in names if name == "UTC" or ("/" in name and name[:4] != "Etc/")]


def _preview(form: ScheduleForm) -> dict[str, Any]:
    """Return the preview, or the error of a field of the timing."""
    now = datetime.now(UTC)
    try:
        parsed = parse_timing(form.timing_fields(), now)
    except InvalidField as error:
        return {"now": now, "preview_error": error}
    return {"now": now, "preview": preview_of(parsed.timing, now, _ROWS, parsed.max_runs)}
