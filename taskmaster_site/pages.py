"""The pages for people: the front page with counts, tasks and workers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Case, Count, Min, Q, QuerySet, Sum, When
from django.db.models.fields.json import KT
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.defaults import server_error as html_server_error

from tasks.api import errors
from tasks.lifecycle import IN_FLIGHT, Status
from tasks.models import Task
from tasks.permissions import VIEW
from tasks.registry import SHELL
from workers.models import Worker
from workers.models.worker import WorkerStatus

#: Rows of the front page.
_ROWS = 50
#: What of a shell command a row shows, in characters.
_COMMAND_LENGTH = 120
#: What the chips above the table stand for.
_CHIPS: dict[str, tuple[Status, ...]] = {
    "all": tuple(Status),
    "pending": (Status.WAITING, Status.PENDING),
    "running": (Status.PICKED, Status.STARTED),
    "complete": (Status.COMPLETE,),
    "failed": (Status.FAILED,),
    "cancelled": (Status.CANCELLED,),
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pending tasks: all, those due, and since when the oldest of them waits."""

    pending: int
    due: int
    oldest: datetime | None


class FinishedCounts:
    """Complete and failed tasks, counted seldom: it reads the whole table, 0.1 s a million rows.

    Counted again after 2 s, or after 20 times what the last count took: at most a twentieth of one
    connection's time, however many people look.
    """

    _FRESH_S = 2.0
    _SHARE = 20

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._stale_at = 0.0

    def get(self) -> dict[str, int]:
        """`complete` and `failed`."""
        began = time.monotonic()
        if began >= self._stale_at:
            self._counts = Task.objects.aggregate(
                complete=Count("pk", filter=Q(status=Status.COMPLETE)),
                failed=Count("pk", filter=Q(status=Status.FAILED)),
            )
            ended = time.monotonic()
            self._stale_at = ended + max(self._FRESH_S, self._SHARE * (ended - began))
        return self._counts


_finished = FinishedCounts()


@require_safe
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """What waits, runs and has ended; the newest tasks; the workers."""
    if not request.user.has_perm(VIEW):
        return render(request, "taskmaster/not_allowed.html", {"permission": VIEW}, status=403)
    chosen = request.GET.get("show", "all")
    if chosen not in _CHIPS:
        chosen = "all"
    sees_workers = request.user.has_perm("workers.view_worker")
    workers = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    context: dict[str, Any] = {
        "waiting": _waiting(),
        "running": Task.objects.filter(status__in=IN_FLIGHT).count(),
        "finished": _finished.get(),
        "slots": workers.aggregate(count=Count("pk"), slots=Sum("slots", default=0)),
        "tasks": _newest(_CHIPS[chosen]),
        "chips": list(_CHIPS),
        "chosen": chosen,
        "sees_workers": sees_workers,
        "workers": workers if sees_workers else [],
    }
    return render(request, "taskmaster/dashboard.html", context)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """What is said when a view fails: problem details below /api/, a page elsewhere."""
    if request.path.startswith("/api/"):
        return errors.server_error(request)
    return html_server_error(request)


def _waiting() -> Waiting:
    """Over the partial index of pending tasks."""
    due = Q(scheduled_at__lte=timezone.now())
    return Waiting(
        **Task.objects.filter(status=Status.PENDING).aggregate(
            pending=Count("pk"),
            due=Count("pk", filter=due),
            oldest=Min("scheduled_at", filter=due),
        )
    )


def _newest(statuses: tuple[Status, ...]) -> QuerySet[Task]:
    """The head of the list, without arguments and results but with the head of a shell command."""
    tasks = Task.objects.only(
        "name", "queue", "status", "worker", "attempt", "max_attempts",
        "created_at", "scheduled_at", "started_at", "completed_at", "failed_at", "cancelled_at",
    )  # fmt: skip
    if len(statuses) < len(Status):
        tasks = tasks.filter(status__in=statuses)
    command = Case(When(name=SHELL, then=Left(KT("kwargs__command"), _COMMAND_LENGTH)))
    return tasks.annotate(command=command).order_by("-pk")[:_ROWS]
