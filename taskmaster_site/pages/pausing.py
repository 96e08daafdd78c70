"""Handle the buttons that pause and resume queues, task names and everything."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import toast
from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW
from taskmaster.tasks.policies import pausing


@require_POST
@needs(VIEW, PAUSE_QUEUE)
def pause(request: HttpRequest) -> HttpResponse:
    """Pause what the fields `kind` and `target` name, with a reason."""
    fields = request.POST
    try:
        made = pausing.pause(
            fields.get("kind", ""),
            fields.get("target", ""),
            fields.get("reason", ""),
            user=request.user,
        )
    except TaskMasterError as error:
        return _refused(request, error)
    return _changed(request, f"{_capital(made.subject)} is paused. Running tasks continue.")


@require_POST
@needs(VIEW, PAUSE_QUEUE)
def resume(request: HttpRequest) -> HttpResponse:
    """Resume what the fields `kind` and `target` name."""
    fields = request.POST
    try:
        ended = pausing.resume(fields.get("kind", ""), fields.get("target", ""), user=request.user)
    except TaskMasterError as error:
        return _refused(request, error)
    return _changed(request, f"{_capital(ended.subject)} is resumed.")


def _changed(request: HttpRequest, text: str) -> HttpResponse:
    """Confirm the change. The page closes its dialogs, and the server pushes its content."""
    response = toast(request, text)
    response.headers["HX-Trigger"] = "taskmaster:changed"
    return response


def _refused(request: HttpRequest, error: TaskMasterError) -> HttpResponse:
    status = 400 if isinstance(error, InvalidField) else 409
    return toast(request, str(error), ok=False, status=status)


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
