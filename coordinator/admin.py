"""Coordinators in the admin: looked at, never edited."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from coordinator.models import Coordinator
from tasks.admin import show
from tasks.admin.readonly import ReadOnly
from tasks.marks import mark


@admin.register(Coordinator)
class CoordinatorAdmin(ReadOnly, admin.ModelAdmin[Coordinator]):
    list_display = (
        "address", "state", "host", "pid", "held", "in_flight", "connections", "loop_lag_ms",
        "complaint", "started", "seen",
    )  # fmt: skip
    list_filter = ("online",)
    ordering = ("-started_at",)
    list_per_page = 50
    fields = (
        "state", "address", "id", "host", "pid", "held", "in_flight", "connections", "loop_lag_ms",
        "complaint", "heard", "claimed", "flushed", "started", "seen",
    )  # fmt: skip
    readonly_fields = fields

    started = show.moment("started_at")
    seen = show.moment("last_seen_at")
    heard = show.moment("heard_at")
    claimed = show.moment("claimed_at")
    flushed = show.moment("flushed_at")

    @admin.display(description="status")
    def state(self, coordinator: Coordinator) -> SafeString:
        return mark("online" if coordinator.online else "offline")
