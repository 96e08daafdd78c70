"""The activity log in the admin: looked at, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks.admin import show
from tasks.admin.filters import Equal
from tasks.admin.readonly import ReadOnly
from tasks.events.event import Kind
from tasks.marks import EVENTS
from tasks.models import Event
from tasks.permissions import VIEW


class _Found(Equal):
    """The choices are what the events have."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What stands in the column; events are few, since only the newest are kept."""
        found = Event.objects.exclude(**{self.column: ""}).order_by(self.column)
        return [(value, value) for value in found.values_list(self.column, flat=True).distinct()]


class KindFilter(Equal):
    """Events of one kind."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every kind."""
        return [(kind.value, kind.value) for kind in Kind]


class QueueFilter(_Found):
    """Events of one queue's tasks."""

    title = "queue"
    parameter_name = "queue"


class UserFilter(_Found):
    """What one user asked for."""

    title = "user"
    parameter_name = "user"


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin[Event]):
    list_display = ("when", "what", "subject_link", "text", "queue", "worker", "user", "number")
    list_display_links = None
    list_filter = (KindFilter, QueueFilter, UserFilter)
    search_fields = ("text", "task", "worker", "user", "=task_id")
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-id",)
    sortable_by = ()
    list_per_page = 100

    def has_view_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        """Who may see tasks may see what happens to them."""
        return request.user.has_perm(VIEW)

    when = show.moment("at")

    @admin.display(description="kind")
    def what(self, event: Event) -> SafeString:
        kind = EVENTS.get(event.kind, "cancelled")
        return format_html('<span class="mark {}">{}</span>', kind, event.kind)

    @admin.display(description="task")
    def subject_link(self, event: Event) -> SafeString | str:
        if event.task_id is None:
            return event.task or "–"
        address = reverse("admin:tasks_task_change", args=[event.task_id])
        return format_html('<a href="{}">{}</a>', address, event.subject)

    @admin.display(description="count")
    def number(self, event: Event) -> str:
        return f"{event.count:,}" if event.count > 1 else ""
