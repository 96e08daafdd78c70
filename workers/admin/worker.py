"""Show workers in the admin. They cannot be edited. Join tokens are registered here, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat, pluralize
from django.utils.safestring import SafeString

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.filters import Equal
from taskmaster.tasks.admin.model_admin import ModelAdmin, ReadOnly
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.presentation.status_badge import mark
from taskmaster.workers import operations
from taskmaster.workers.admin.join_token import JoinTokenAdmin
from taskmaster.workers.models import Worker, WorkerStatus
from taskmaster.workers.models.worker import PRESENT_FIRST
from taskmaster.workers.permissions import CHANGE, KILL

__all__ = ["JoinTokenAdmin", "WorkerAdmin"]


class PoolFilter(Equal):
    """Filter workers by worker pool."""

    title = "worker pool"
    parameter_name = "pool"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the worker pools that have or had workers."""
        workers = Worker.objects.exclude(pool="").order_by("pool")
        return [(name, name) for name in workers.values_list("pool", flat=True).distinct()]


@admin.register(Worker)
class WorkerAdmin(ReadOnly, ModelAdmin[Worker]):
    list_display = (
        "name", "short_id", "state", "remark", "pool", "executor", "host", "pid", "serves",
        "slots_busy", "tasks_done", "tasks_failed", "memory", "cpu_used", "heartbeat_misses",
        "seen",
    )  # fmt: skip
    list_filter = ("status", PoolFilter, "executor")
    search_fields = ("name", "host")
    ordering = PRESENT_FIRST
    list_per_page = 50
    fields = (
        "state", "remark", "name", "id", "host", "pid", "pool", "executor", "serves",
        "known_tasks", "slots_busy", "tasks_done", "tasks_failed", "memory", "cpu_used",
        "loop_lag_ms", "heartbeat_misses", "command", "coordinator", "registered", "seen",
    )  # fmt: skip
    readonly_fields = fields

    actions = ("drain_workers", "undrain_workers", "stop_workers", "kill_workers")

    registered = show.moment("registered_at")
    seen = show.moment("last_seen_at")

    class Media:
        css = {"all": show.STYLES}

    @admin.display(description="status", ordering="status")
    def state(self, worker: Worker) -> SafeString:
        return mark(worker.status)

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may drain and stop workers."""
        return request.user.has_perm(CHANGE)

    def has_kill_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may kill workers."""
        return request.user.has_perm(KILL)

    @admin.action(
        description="Drain: accept no new tasks, finish, then go offline", permissions=["control"]
    )
    def drain_workers(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        self._each(request, workers, operations.drain, "draining")

    @admin.action(description="Undrain: accept tasks again", permissions=["control"])
    def undrain_workers(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        self._each(request, workers, operations.undrain, "accepting tasks again")

    @admin.action(description="Stop, as SIGTERM does", permissions=["control"])
    def stop_workers(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        self._each(request, workers, operations.stop, "stopping")

    @admin.action(description="Kill, as kill -9 does", permissions=["kill"])
    def kill_workers(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        self._each(request, workers, operations.kill, "killed")

    def _each(
        self,
        request: HttpRequest,
        workers: QuerySet[Worker],
        change: Callable[..., None],
        done: str,
    ) -> None:
        changed = 0
        for worker in workers:
            try:
                change(worker.pk, by=request.user.get_username())
            except TaskMasterError as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                changed += 1
        if changed:
            self.message_user(request, f"{changed} worker{pluralize(changed)} {done}.")

    @admin.display(description="id", ordering="id")
    def short_id(self, worker: Worker) -> str:
        return worker.short_id

    @admin.display(description="remark")
    def remark(self, worker: Worker) -> str:
        return worker.remark

    @admin.display(description="queues")
    def serves(self, worker: Worker) -> str:
        return ", ".join(worker.queues) or "every queue"

    @admin.display(description="tasks")
    def known_tasks(self, worker: Worker) -> str:
        return "every task" if worker.tasks is None else ", ".join(worker.tasks) or "none"

    @admin.display(description="slots busy")
    def slots_busy(self, worker: Worker) -> str:
        return f"{worker.busy} of {worker.slots}"

    @admin.display(description="memory", ordering="rss_bytes")
    def memory(self, worker: Worker) -> str:
        return filesizeformat(worker.rss_bytes)

    @admin.display(description="CPU", ordering="cpu")
    def cpu_used(self, worker: Worker) -> str:
        return "–" if worker.status == WorkerStatus.OFFLINE else f"{worker.cpu:.0%}"
