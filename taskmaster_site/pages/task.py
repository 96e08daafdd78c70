"""A task's page: why it does not run yet, where its time went, what it printed, what came of it."""

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

from taskmaster_site.pages.access import is_fragment, needs, toast
from tasks import attempts, operations
from tasks.errors import TaskMasterError
from tasks.ids import MAX_ID
from tasks.lifecycle import Status, Transition, allows
from tasks.models import Event, Task
from tasks.permissions import CHANGE, SUBMIT_SHELL, VIEW
from tasks.reasons import why
from tasks.registry import SHELL

#: The newest events that are shown.
_EVENTS = 100


@require_safe
@needs(VIEW)
def task(request: HttpRequest, task_id: int) -> HttpResponse:
    """The page; for a script what of it changes."""
    found = _find(task_id)
    now = timezone.now()
    events = list(Event.objects.filter(task_id=found.pk).order_by("-pk")[:_EVENTS])
    starts = [event.at for event in events if event.kind == "started"]
    tried = attempts.attempts(found, starts)
    status = Status(found.status)
    may_run = found.name != SHELL or request.user.has_perm(SUBMIT_SHELL)
    context = {
        "task": found,
        "now": now,
        "command": found.kwargs.get("command") if found.name == SHELL else None,
        "reason": why(found),
        "attempts": list(reversed(tried)),
        "bar": _bar(attempts.spans(found, tried, now)),
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


def _moments(of: Task) -> list[tuple[str, datetime, str]]:
    """What happened when, in order: a word, the time, and what else is to be said."""
    by = f" by {name}" if (name := _submitter(of)) else ""
    on = f"attempt {of.attempt} on {of.worker or 'a worker'}, " if of.started_at else ""
    moments = [
        ("Created", of.created_at, by),
        ("Due", of.scheduled_at, ""),
        ("Picked", of.picked_at, ""),
        ("Started", of.started_at, on),
        (of.status.capitalize(), of.finished_at, ""),
    ]
    known = [(word, at, more) for word, at, more in moments if at is not None]
    # What is due at once was created first.
    return sorted(known, key=lambda moment: max(moment[1], of.created_at))


def _bar(spans: list[attempts.Span]) -> list[dict[str, Any]]:
    """Where each part of the bar lies in percent; what is short is still seen."""
    total = sum(span.seconds for span in spans) or 1.0
    shares = [max(1.5, 100 * span.seconds / total) for span in spans]
    scale = 100 / sum(shares) if shares else 1
    found, at = [], 0.0
    for span, share in zip(spans, shares, strict=True):
        found.append({"span": span, "x": f"{at:.2f}", "width": f"{share * scale:.2f}"})
        at += share * scale
    return found


def _submitter(of: Task) -> str:
    """The key alone is stored, without a constraint: the user may be gone."""
    if of.created_by_id is None:
        return ""
    user = get_user_model().objects.filter(pk=of.created_by_id).first()
    return str(user) if user else f"user {of.created_by_id}, who is gone"


@require_POST
@needs(CHANGE)
def cancel(request: HttpRequest, task_id: int) -> HttpResponse:
    """Cancels it; of a task that has not begun this can be undone, at its old time."""
    found = _find(task_id)
    back = None
    if found.status == Status.PENDING:
        where = reverse("task-retry", args=[task_id])
        back = ("Undo", f"{where}?at={found.scheduled_at:%Y-%m-%dT%H:%M:%S.%fZ}")
    by = request.user.get_username()
    return _apply(request, task_id, lambda of: operations.cancel(of, by=by), "is cancelled.", back)


@require_POST
@needs(CHANGE)
def retry(request: HttpRequest, task_id: int) -> HttpResponse:
    """Makes it pending again: due now, or `at` a time that is still to come."""

    def operation(task_id: int) -> None:
        operations.retry_for(request.user, task_id)
        at = _later(request.GET.get("at", ""))
        if at is not None:
            operations.move(task_id, at, by=request.user.get_username())

    return _apply(request, task_id, operation, "is pending again.")


def _later(text: str) -> datetime | None:
    try:
        at = parse_datetime(text)
    except ValueError:
        return None
    return at if at and at.tzinfo and at > timezone.now() else None


def _apply(
    request: HttpRequest,
    task_id: int,
    operation: Callable[[int], None],
    done: str,
    undo: tuple[str, str] | None = None,
) -> HttpResponse:
    try:
        operation(task_id)
    except TaskMasterError as refusal:
        return toast(request, str(refusal), ok=False, status=409)
    answer = toast(request, f"Task {task_id} {done}", undo=undo)
    # The page looks again at once, also where its stream is cut.
    answer.headers["HX-Trigger"] = "taskmaster:changed"
    return answer
