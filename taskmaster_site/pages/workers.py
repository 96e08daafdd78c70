"""Handle the buttons of a worker's card."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import toast
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.workers import operations
from taskmaster.workers.models import Worker
from taskmaster.workers.permissions import CHANGE, KILL, VIEW


class WorkerAction(Protocol):
    """Define the signature of the functions of `taskmaster.workers.operations`."""

    def __call__(self, worker_id: UUID, *, by: str) -> None:
        """Apply the action on behalf of a user. Raises TaskMasterError."""


def _apply(
    request: HttpRequest, worker_id: UUID, action: WorkerAction, outcome: str, undo: str = ""
) -> HttpResponse:
    """Apply the action and confirm it. `undo` names the URL of an undo button."""
    try:
        action(worker_id, by=request.user.get_username())
    except TaskMasterError as error:
        return toast(request, str(error), ok=False, status=409)
    name = Worker.objects.values_list("name", flat=True).get(pk=worker_id)
    undo_button = ("Undo", reverse(f"taskmaster:worker-{undo}", args=[worker_id])) if undo else None
    return toast(request, f"{name} {outcome}", undo=undo_button)


@require_POST
@needs(VIEW, CHANGE)
def drain(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """Drain the worker: it accepts no new tasks and goes offline when its tasks end."""
    outcome = "is draining: it accepts no new tasks and goes offline when its tasks have ended."
    return _apply(request, worker_id, operations.drain, outcome, undo="undrain")


@require_POST
@needs(VIEW, CHANGE)
def undrain(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """Let a draining worker accept tasks again."""
    return _apply(request, worker_id, operations.undrain, "accepts tasks again.")


@require_POST
@needs(VIEW, CHANGE)
def stop(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """Stop the worker as SIGTERM does."""
    return _apply(request, worker_id, operations.stop, "was asked to stop.")


@require_POST
@needs(VIEW, KILL)
def kill(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """Kill the worker as SIGKILL does."""
    return _apply(request, worker_id, operations.kill, "was asked to exit immediately.")
