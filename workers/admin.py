"""Workers in the admin: looked at, never edited."""

from __future__ import annotations

from django.contrib import admin
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString

from tasks.admin import show
from tasks.admin.readonly import ReadOnly
from tasks.marks import mark
from workers.models import Worker


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin[Worker]):
    list_display = (
        "name", "state", "host", "pid", "pool", "serves", "slots_busy", "tasks_done",
        "tasks_failed", "memory", "cpu_used", "heartbeat_misses", "seen",
    )  # fmt: skip
    list_filter = ("status", "pool")
    search_fields = ("name", "host")
    ordering = ("-registered_at",)
    list_per_page = 50
    fields = (
        "state", "name", "id", "host", "pid", "pool", "serves", "slots_busy", "tasks_done",
        "tasks_failed", "memory", "cpu_used", "loop_lag_ms", "heartbeat_misses", "coordinator",
        "registered", "seen",
    )  # fmt: skip
    readonly_fields = fields

    registered = show.moment("registered_at")
    seen = show.moment("last_seen_at")

    @admin.display(description="status", ordering="status")
    def state(self, worker: Worker) -> SafeString:
        return mark(worker.status)

    @admin.display(description="queues")
    def serves(self, worker: Worker) -> str:
        return ", ".join(worker.queues) or "every queue"

    @admin.display(description="slots busy")
    def slots_busy(self, worker: Worker) -> str:
        return f"{worker.busy} of {worker.slots}"

    @admin.display(description="memory", ordering="rss_bytes")
    def memory(self, worker: Worker) -> str:
        return filesizeformat(worker.rss_bytes)

    @admin.display(description="CPU", ordering="cpu")
    def cpu_used(self, worker: Worker) -> str:
        return f"{worker.cpu:.0%}"
