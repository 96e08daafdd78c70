"""Serve a task's page: pending reason, timeline, attempts, output and result."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import is_fragment, toast
from taskmaster.tasks import task_actions
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.lifecycle import Status, Transition, allows
from taskmaster.tasks.models import Event, Task
from taskmaster.tasks.permissions import CHANGE, VIEW, may_shell
from taskmaster.tasks.queries import timeline
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.registry import SHELL

#: Maximum number of events shown, newest first.
_EVENTS = 100


@require_safe
@needs(VIEW)
def task(request: HttpRequest, task_id: int) -> HttpResponse:
    """Render the page, or for a script only the part that changes."""
    found = _find(task_id)
    now = timezone.now()
    events = list(Event.objects.filter(task_id=found.pk).order_by("-pk")[:_EVENTS])
    starts = [event.at for event in events if event.kind == "started"]
    attempts = timeline.attempts(found, starts)
    status = Status(found.status)
    may_run = found.name != SHELL or may_shell(request.user)
    context = {
        "task": found,
        "now": now,
        "command": found.kwargs.get("command") if found.name == SHELL else None,
        "reason": explain_pending(found),
        "attempts": list(reversed(attempts)),
        "bar": _bar(timeline.spans(found, attempts, now)),
        "moments": _moments(found),
        "events": events,
        "submitter": _submitter(found),
        "may_cancel": allows(status, Transition.CANCEL),
        "may_retry": may_run and allows(status, Transition.RETRY),
    }
    name = "fragments/task.html" if is_fragment(request) else "task.html"
    return render(request, f"taskmaster/{name}", context)


def _find(task_id: int) -> Task:
    found = Task.objects.filter(pk=task_id).first() if task_id <= MAX_ID else None
    if found is None:
        raise Http404
    return found


def _moments(task: Task) -> list[tuple[str, datetime, str]]:
    """Return the task's times in order, each with a label and a detail."""
    by = f" by {name}" if (name := _submitter(task)) else ""
    on = f"attempt {task.attempt} on {task.worker or 'a worker'}, " if task.started_at else ""
    moments = [
        ("Created", task.created_at, by),
        ("Due", task.scheduled_at, ""),
        ("Picked", task.picked_at, ""),
        ("Started", task.started_at, on),
        (task.status.capitalize(), task.finished_at, ""),
    ]
    known = [(label, at, detail) for label, at, detail in moments if at is not None]
    # `scheduled_at` of a task due immediately may precede `created_at`; show "Created" first.
    return sorted(known, key=lambda moment: max(moment[1], task.created_at))


def _bar(spans: list[timeline.TimelineSpan]) -> list[dict[str, Any]]:
    """Return position and width of each span in percent, with a minimum visible width."""
    total = sum(span.seconds for span in spans) or 1.0
    shares = [max(1.5, 100 * span.seconds / total) for span in spans]
    scale = 100 / sum(shares) if shares else 1
    found, at = [], 0.0
    for span, share in zip(spans, shares, strict=True):
        found.append({"span": span, "x": f"{at:.2f}", "width": f"{share * scale:.2f}"})
        at += share * scale
    return found


def _submitter(task: Task) -> str:
    """Return the submitter's name. The user may be deleted, because no constraint protects it."""
    if task.created_by_id is None:
        return ""
    user = get_user_model().objects.filter(pk=task.created_by_id).first()
    return str(user) if user else f"user {task.created_by_id} (deleted)"


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
