"""Show coordinators in the admin, read-only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.model_admin import ModelAdmin, ReadOnly
from taskmaster.tasks.presentation.status_badge import mark


@admin.register(Coordinator)
class CoordinatorAdmin(ReadOnly, ModelAdmin[Coordinator]):
    list_display = (
        "address", "state", "host", "pid", "held", "in_flight", "connections", "loop_lag_ms",
        "health_problem", "started", "seen",
    )  # fmt: skip
    list_filter = ("online",)
    ordering = ("-started_at",)
    list_per_page = 50
    fields = (
        "state", "address", "id", "host", "pid", "held", "in_flight", "connections", "loop_lag_ms",
        "health_problem", "heard", "claimed", "flushed", "started", "seen",
    )  # fmt: skip
    readonly_fields = fields

    started = show.moment("started_at")
    seen = show.moment("last_seen_at")
    heard = show.moment("heard_at")
    claimed = show.moment("claimed_at")
    flushed = show.moment("flushed_at")

    class Media:
        css = {"all": show.STYLES}

    @admin.display(description="status")
    def state(self, coordinator: Coordinator) -> SafeString:
        return mark("online" if coordinator.online else "offline")
