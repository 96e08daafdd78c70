"""The activity log in the admin: looked at, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks.admin import show
from tasks.admin.readonly import ReadOnly
from tasks.events.event import Kind
from tasks.marks import EVENTS
from tasks.models import Event
from tasks.permissions import VIEW


class KindFilter(admin.SimpleListFilter):
    """Events of one kind."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every kind."""
        return [(kind.value, kind.value) for kind in Kind]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The events of the chosen kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin[Event]):
    list_display = ("when", "what", "subject_link", "text", "queue", "worker", "user", "number")
    list_display_links = None
    list_filter = (
        KindFilter,
        ("queue", admin.AllValuesFieldListFilter),
        ("user", admin.AllValuesFieldListFilter),
    )
    search_fields = ("text", "task", "worker", "user", "=task_id")
    search_help_text = "Words in what happened, a task's name or id, a worker, a user"
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
