"""What is done to a worker from its card."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from taskmaster_site.pages.access import needs, toast
from tasks.errors import TaskMasterError
from workers import operations
from workers.models import Worker
from workers.permissions import CHANGE, KILL


class Operation(Protocol):
    """One of `workers.operations`."""

    def __call__(self, worker_id: UUID, *, by: str) -> None:
        """Does it on behalf of a user. Raises TaskMasterError."""


def _apply(
    request: HttpRequest, worker_id: UUID, operation: Operation, done: str, undo: str = ""
) -> HttpResponse:
    """Does it and says so, with a button that takes it back where `undo` names the way."""
    try:
        operation(worker_id, by=request.user.get_username())
    except TaskMasterError as refusal:
        return toast(request, str(refusal), ok=False, status=409)
    name = Worker.objects.values_list("name", flat=True).get(pk=worker_id)
    back = ("Undo", reverse(f"worker-{undo}", args=[worker_id])) if undo else None
    return toast(request, f"{name} {done}", undo=back)


@require_POST
@needs(CHANGE)
def drain(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """It takes nothing new."""
    done = "takes nothing new; it goes offline when what it runs has ended."
    return _apply(request, worker_id, operations.drain, done, undo="undrain")


@require_POST
@needs(CHANGE)
def undrain(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """It takes tasks again."""
    return _apply(request, worker_id, operations.undrain, "takes tasks again.")


@require_POST
@needs(CHANGE)
def stop(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """It ends as by SIGTERM."""
    return _apply(request, worker_id, operations.stop, "is told to stop.")


@require_POST
@needs(KILL)
def kill(request: HttpRequest, worker_id: UUID) -> HttpResponse:
    """It dies as by kill -9."""
    return _apply(request, worker_id, operations.kill, "is told to die.")
