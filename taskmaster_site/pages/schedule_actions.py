"""Handle the buttons of the pages of schedules. The service makes each change."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import escape
from django.views.decorators.http import require_POST

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import toast
from taskmaster.tasks.bulk import backfill as bulk_backfill
from taskmaster.tasks.bulk import service as bulk
from taskmaster.tasks.bulk_actions import format_run_count
from taskmaster.tasks.errors import InvalidField, NotAllowed, NotFound, TaskMasterError
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.models import Operation, Schedule
from taskmaster.tasks.permissions import CHANGE_SCHEDULE, RUN_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.queries.schedule_reason import local_text
from taskmaster.tasks.schedules import service
from taskmaster.tasks.timing.values import point_in_time
from taskmaster.tasks.timing.zones import zone_of

#: Most digits of the number of runs of a back-fill.
_COUNT_DIGITS = 9
#: Dialogs that show an error of their own form.
_DIALOGS = frozenset({"run", "pause", "skip", "backfill", "pause-everything"})


def find(schedule_id: int) -> Schedule:
    """Return the schedule with its owner. Raise Http404 without one."""
    schedules = Schedule.objects.select_related("owner")
    found = schedules.filter(pk=schedule_id).first() if schedule_id <= MAX_ID else None
    if found is None:
        raise Http404
    return found


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def run(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Run the schedule now, for the due time `due_at` if the form has one."""
    schedule = find(schedule_id)
    try:
        due_at = _due_at(request.POST.get("due_at", ""))
        made = service.run_now(schedule, user=request.user, due_at=due_at)
    except TaskMasterError as error:
        return _refused(request, error)
    return _changed(request, f"{schedule.name} runs now: task {made.task_id}.")


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def pause(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Pause the schedule with a reason."""
    schedule = find(schedule_id)
    try:
        service.pause(schedule, request.POST.get("reason", ""), user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    undo = ("Resume", reverse("taskmaster:schedule-resume", args=[schedule_id]))
    return _changed(request, f"{schedule.name} is paused.", undo)


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def resume(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Resume the schedule: its next due time is after now."""
    schedule = find(schedule_id)
    try:
        schedule = service.resume(schedule, user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    return _changed(request, f"{schedule.name} is resumed.{_next_text(schedule)}")


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def skip(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Skip the next due time."""
    schedule = find(schedule_id)
    try:
        skipped = service.skip_next(schedule, request.POST.get("reason", ""), user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    due = local_text(skipped.due_at, schedule.timezone)
    return _changed(request, f"{schedule.name} skips the run due {due}.")


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def preview_backfill(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Count the due times of a range, for the dialog."""
    schedule = find(schedule_id)
    try:
        start, end = _range(request, schedule)
        found = service.preview_backfill(schedule, start, end)
    except TaskMasterError as error:
        context: dict[str, object] = {"error": str(error)}
    else:
        context = {"found": found, "schedule": schedule}
    return render(request, "taskmaster/fragments/backfill_preview.html", context)


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def backfill(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Start the creation of a run for each due time of a range. The page shows its progress."""
    schedule = find(schedule_id)
    try:
        start, end = _range(request, schedule)
        operation = bulk_backfill.start(
            schedule, start, end, user=request.user, expected=_confirmed(request)
        )
    except TaskMasterError as error:
        return _refused(request, error)
    runs = format_run_count(operation.total)
    return _changed(request, f"{schedule.name}: the back-fill of {runs} has started.")


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def cancel_backfill(request: HttpRequest, schedule_id: int, operation_id: int) -> HttpResponse:
    """Cancel a back-fill of the schedule. Runs that it has created stay."""
    backfills = Operation.objects.filter(schedule=find(schedule_id))
    if operation_id > MAX_ID or not backfills.filter(pk=operation_id).exists():
        raise Http404
    try:
        operation = bulk.cancel(operation_id, request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    runs = format_run_count(operation.done)
    return _changed(request, f"The back-fill is cancelled after {runs}.")


@require_POST
@needs(VIEW_SCHEDULE, CHANGE_SCHEDULE)
def delete(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Delete the schedule, and continue with the list."""
    try:
        service.delete(find(schedule_id), user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    response = HttpResponse()
    response.headers["HX-Redirect"] = reverse("taskmaster:schedules")
    return response


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def pause_all(request: HttpRequest) -> HttpResponse:
    """Pause every schedule with a reason."""
    try:
        service.pause_all(request.POST.get("reason", ""), user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    undo = ("Resume everything", reverse("taskmaster:schedules-resume"))
    return _changed(request, "Every schedule is paused.", undo)


@require_POST
@needs(VIEW_SCHEDULE, RUN_SCHEDULE)
def resume_all(request: HttpRequest) -> HttpResponse:
    """End the pause of all schedules. Those that are paused themselves stay paused."""
    try:
        service.resume_all(user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    return _changed(request, "The schedules are resumed, except those that are paused themselves.")


def _changed(request: HttpRequest, text: str, undo: tuple[str, str] | None = None) -> HttpResponse:
    """Confirm the change. The page closes its dialogs and reads its content again."""
    response = toast(request, text, undo=undo)
    response.headers["HX-Trigger"] = "taskmaster:changed"
    return response


def _refused(request: HttpRequest, error: TaskMasterError) -> HttpResponse:
    """Return the error for the dialog that sent the form, or as a notification."""
    status = 409
    if isinstance(error, InvalidField):
        status = 400
    elif isinstance(error, NotAllowed):
        status = 403
    elif isinstance(error, NotFound):
        status = 404
    dialog = request.POST.get("dialog", "")
    if dialog not in _DIALOGS:
        return toast(request, str(error), ok=False, status=status)
    response = HttpResponse(escape(str(error)), status=status)
    response.headers["HX-Retarget"] = f"#{dialog} .error"
    response.headers["HX-Reswap"] = "innerHTML"
    return response


def _due_at(text: str) -> datetime | None:
    if not text:
        return None
    try:
        due_at = parse_datetime(text)
    except ValueError:
        due_at = None
    if due_at is None or due_at.tzinfo is None:
        raise InvalidField("due_at", "must be a time with a zone, such as 2027-03-17T02:30:00Z.")
    return due_at


def _range(request: HttpRequest, schedule: Schedule) -> tuple[datetime, datetime]:
    """Return the range of a back-fill. Its times are local times of the schedule's zone."""
    return tuple(  # type: ignore[return-value]
        local_time(name, request.POST.get(name, ""), schedule.timezone) for name in ("start", "end")
    )


def _confirmed(request: HttpRequest) -> int:
    """Return the number of runs on the button. Raise InvalidField without a number."""
    text = request.POST.get("count", "")
    if not (text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS):
        raise InvalidField("count", "is required; wait for the number of runs and confirm it.")
    return int(text)


def local_time(name: str, text: str, zone: str) -> datetime:
    """Return the instant of a local time that a form sends. Raise InvalidField."""
    return point_in_time(text, name, zone_of(zone), datetime.now(UTC))


def _next_text(schedule: Schedule) -> str:
    if schedule.next_due_at is None:
        return ""
    return f" It is due next {local_text(schedule.next_due_at, schedule.timezone)}."
