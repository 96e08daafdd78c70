"""Show the activity log in the admin, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.filters import Equal
from taskmaster.tasks.admin.model_admin import ModelAdmin, ReadOnly
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.models import Event
from taskmaster.tasks.permissions import VIEW
from taskmaster.tasks.presentation.status_badge import EVENTS


class _Found(Equal):
    """Offer the values that occur in the column."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the distinct values. Only the newest events are kept, so the table is small."""
        found = Event.objects.exclude(**{self.column: ""}).order_by(self.column)
        return [(value, value) for value in found.values_list(self.column, flat=True).distinct()]


class KindFilter(Equal):
    """Filter events by kind."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every kind."""
        return [(kind.value, kind.value) for kind in EventKind]


class EventQueueFilter(_Found):
    """Filter events by the queue of their task."""

    title = "queue"
    parameter_name = "queue"


class UserFilter(_Found):
    """Filter events by the user who caused them."""

    title = "user"
    parameter_name = "user"


@admin.register(Event)
class EventAdmin(ReadOnly, ModelAdmin[Event]):
    list_display = (
        "when",
        "kind_badge",
        "subject_link",
        "text",
        "queue",
        "worker",
        "user",
        "number",
    )
    list_display_links = None
    list_filter = (KindFilter, EventQueueFilter, UserFilter)
    search_fields = ("text", "task", "worker", "user", "=task_id")
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-id",)
    sortable_by = ()
    list_per_page = 100

    class Media:
        css = {"all": show.STYLES}

    def has_view_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        """Permit every user who may view tasks."""
        return request.user.has_perm(VIEW)

    when = show.moment("at")

    @admin.display(description="kind")
    def kind_badge(self, event: Event) -> SafeString:
        kind = EVENTS.get(event.kind, "cancelled")
        return format_html('<span class="mark {}">{}</span>', kind, event.kind)

    @admin.display(description="task")
    def subject_link(self, event: Event) -> SafeString | str:
        if event.task_id is None:
            return event.task or "–"
        address = reverse("admin:taskmaster_tasks_task_change", args=[event.task_id])
        return format_html('<a href="{}">{}</a>', address, event.subject)

    @admin.display(description="count")
    def number(self, event: Event) -> str:
        return f"{event.count:,}" if event.count > 1 else ""
