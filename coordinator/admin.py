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
    list_display = ("address", "state", "host", "pid", "held", "in_flight", "started", "seen")
    list_filter = ("online",)
    ordering = ("-started_at",)
    list_per_page = 50
    fields = ("state", "address", "id", "host", "pid", "held", "in_flight", "started", "seen")
    readonly_fields = fields

    started = show.moment("started_at")
    seen = show.moment("last_seen_at")

    @admin.display(description="status")
    def state(self, coordinator: Coordinator) -> SafeString:
        return mark("online" if coordinator.online else "offline")
