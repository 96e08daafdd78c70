"""Serve a task's page: the answer, the attempts, the output, arguments and events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import TextField
from django.db.models.functions import Cast
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from taskmaster.taskmaster_site.middleware.security import POLICY_WITH_INLINE_STYLES
from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import is_fragment, toast
from taskmaster.taskmaster_site.pages.task_answer import build_answer, failure
from taskmaster.tasks import task_actions
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.lifecycle import Status, Transition, allows
from taskmaster.tasks.models import Event, Schedule, Task
from taskmaster.tasks.permissions import CHANGE, VIEW, VIEW_SCHEDULE, may_shell
from taskmaster.tasks.presentation.json_view import indented_text
from taskmaster.tasks.queries import timeline
from taskmaster.tasks.queries.missing_task import explain_missing
from taskmaster.tasks.queries.output_size import output_sizes
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.registry import SHELL

#: Maximum number of events shown, newest first.
_EVENTS = 100


@require_safe
@needs(VIEW)
def task(request: HttpRequest, task_id: int) -> HttpResponse:
    """Render the page, or for a script only the part that changes."""
    try:
        found = _find(task_id)
    except Http404:
        if is_fragment(request):
            raise
        context = {"task_id": task_id, "reason": explain_missing(task_id)}
        return render(request, "taskmaster/no_task.html", context, status=404)
    name = "fragments/task.html" if is_fragment(request) else "task.html"
    response = render(request, f"taskmaster/{name}", _context(request, found))
    # The terminal creates style elements without a nonce.
    response.headers["Content-Security-Policy"] = POLICY_WITH_INLINE_STYLES
    return response


def _context(request: HttpRequest, found: Task) -> dict[str, Any]:
    now = timezone.now()
    status = Status(found.status)
    args, kwargs, result = _texts(found)
    records = timeline.attempts(found)
    events = list(Event.objects.filter(task_id=found.pk).order_by("-pk")[:_EVENTS])
    parked = [event.at for event in events if event.kind == EventKind.PARKED]
    return {
        "task": found,
        "now": now,
        "command": _command(found, kwargs),
        "answer": build_answer(
            found, records, reason=explain_pending(found), result=indented_text(result)
        ),
        "timeline": timeline.timeline(found, records, now, parked),
        "failures": [failure(record) for record in reversed(records) if record.error],
        "outputs": output_sizes(found) if found.attempt and status != Status.STARTED else [],
        "arguments": [indented_text(text) for text in (args, kwargs) if text not in ("[]", "{}")],
        "events": events,
        "submitter": _submitter(found),
        **_schedule(request, found),
        "attempts_left": max(1, found.max_attempts - found.attempt),
        "may_cancel": allows(status, Transition.CANCEL),
        "may_retry": (found.name != SHELL or may_shell(request.user))
        and allows(status, Transition.RETRY),
    }


def _find(task_id: int) -> Task:
    """Return the task without its arguments and result, which the page shows as stored text."""
    tasks = Task.objects.defer("args", "kwargs", "result")
    found = tasks.filter(pk=task_id).first() if task_id <= MAX_ID else None
    if found is None:
        raise Http404
    return found


def _texts(task: Task) -> tuple[str, str, str]:
    """Return arguments and result as they are stored: parsing would change them."""
    as_text = [Cast(name, TextField()) for name in ("args", "kwargs", "result")]
    row = Task.objects.filter(pk=task.pk).values_list(*as_text).first()
    args, kwargs, result = row or ("[]", "{}", None)
    return args, kwargs, result or "null"


def _command(task: Task, kwargs: str) -> object:
    """Return the command of a shell task: a text or a list. None for a callable."""
    if task.name != SHELL:
        return None
    try:
        return json.loads(kwargs).get("command")
    except (ValueError, RecursionError, AttributeError):
        return None


def _submitter(task: Task) -> str:
    """Return the submitter's name. The user may be deleted, because no constraint protects it."""
    if task.created_by_id is None:
        return ""
    user = get_user_model().objects.filter(pk=task.created_by_id).first()
    return str(user) if user else f"user {task.created_by_id} (deleted)"


def _schedule(request: HttpRequest, task: Task) -> dict[str, str]:
    """Return name, zone and URL of the task's schedule. No constraint protects it from deletion."""
    if task.schedule_id is None:
        return {}
    schedule = Schedule.objects.only("name", "timezone").filter(pk=task.schedule_id).first()
    if schedule is None:
        return {"schedule_name": f"{task.schedule_id} (deleted)", "schedule_zone": "UTC"}
    url = ""
    if request.user.has_perm(VIEW_SCHEDULE):
        url = reverse("taskmaster:schedule", args=[schedule.pk])
    return {
        "schedule_name": schedule.name,
        "schedule_zone": schedule.timezone,
        "schedule_url": url,
    }


@require_POST
@needs(VIEW, CHANGE)
def cancel(request: HttpRequest, task_id: int) -> HttpResponse:
    """Cancel the task. Offer to undo this for a pending task, which keeps its scheduled time."""
    found = _find(task_id)
    undo = None
    if found.status == Status.PENDING:
        retry_url = reverse("taskmaster:task-retry", args=[task_id])
        undo = ("Undo", f"{retry_url}?at={found.scheduled_at:%Y-%m-%dT%H:%M:%S.%fZ}")
    by = request.user.get_username()
    return _apply(
        request, task_id, lambda pk: task_actions.cancel(pk, by=by), "was cancelled.", undo
    )


@require_POST
@needs(VIEW, CHANGE)
def retry(request: HttpRequest, task_id: int) -> HttpResponse:
    """Make the task pending again, due now or at `at` if that time is in the future."""

    def action(task_id: int) -> None:
        task_actions.retry_for(request.user, task_id)
        at = _future_time(request.GET.get("at", ""))
        if at is not None:
            task_actions.reschedule(task_id, at, by=request.user.get_username())

    return _apply(request, task_id, action, "is pending again.")


def _future_time(text: str) -> datetime | None:
    try:
        at = parse_datetime(text)
    except ValueError:
        return None
    return at if at and at.tzinfo and at > timezone.now() else None


def _apply(
    request: HttpRequest,
    task_id: int,
    action: Callable[[int], None],
    outcome: str,
    undo: tuple[str, str] | None = None,
) -> HttpResponse:
    try:
        action(task_id)
    except TaskMasterError as error:
        return toast(request, str(error), ok=False, status=409)
    response = toast(request, f"Task {task_id} {outcome}", undo=undo)
    # Reload the page's content now, even if its stream is disconnected.
    response.headers["HX-Trigger"] = "taskmaster:changed"
    return response
