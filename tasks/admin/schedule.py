"""Show schedules in the admin, and pause, resume and run the selected ones.

The service makes each change. The page of a schedule edits it, since it shows the preview.
"""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.model_admin import ModelAdmin, ReadOnly
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.permissions import RUN_SCHEDULE, VIEW_SCHEDULE
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.schedules.users import REASON_MAX
from taskmaster.tasks.templatetags.schedules import badge
from taskmaster.tasks.timing.words import describe


class ScheduleActionForm(ActionForm):
    """Select an action, and give the reason of a pause."""

    reason = forms.CharField(
        required=False,
        label="Reason",
        widget=forms.TextInput(
            attrs={"data-of": "pause_selected", "maxlength": REASON_MAX, "size": 40}
        ),
    )


@admin.register(Schedule)
class ScheduleAdmin(ReadOnly, ModelAdmin[Schedule]):
    list_display = (
        "name",
        "state",
        "task",
        "when",
        "timezone",
        "next_run",
        "source",
        "owner_name",
    )
    list_filter = ("source", "trigger", ("paused_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "task")
    ordering = ("name",)
    sortable_by = ("name",)
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    action_form = ScheduleActionForm
    actions = ("pause_selected", "resume_selected", "run_selected")
    readonly_fields = ("state", "when", "in_console")
    exclude = ("version", "runs_made")

    class Media:
        css = {"all": (*show.STYLES, "taskmaster/operations.css")}
        js = ("taskmaster/operations.js",)

    def has_view_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Permit every user who may view schedules."""
        return request.user.has_perm(VIEW_SCHEDULE)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Permit the actions to users who may run schedules."""
        return request.user.has_perms((VIEW_SCHEDULE, RUN_SCHEDULE))

    next_run = show.moment("next_run_at")

    @admin.display(description="state")
    def state(self, schedule: Schedule) -> SafeString:
        if schedule.ended_at is not None:
            return badge("cancelled", "cancelled", "ended")
        if schedule.paused_at is not None:
            return badge("operator", "pause", "paused")
        return badge("complete", "complete", "active")

    @admin.display(description="when")
    def when(self, schedule: Schedule) -> str:
        return describe(timing_of(schedule))

    @admin.display(description="owner")
    def owner_name(self, schedule: Schedule) -> str:
        return str(schedule.owner or "–")

    @admin.display(description="page")
    def in_console(self, schedule: Schedule) -> SafeString:
        address = reverse("taskmaster:schedule", args=[schedule.pk])
        return format_html('<a href="{}">Runs, history and changes</a>', address)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Read the owners with the schedules."""
        return super().get_queryset(request).select_related("owner")

    # ---- actions ----------------------------------------------------------------------------

    @admin.action(description="Pause the selected schedules", permissions=["run"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        reason = request.POST.get("reason", "").strip()
        if not reason:
            error = "No schedule was paused: the reason is empty. Fill in the field Reason."
            self.message_user(request, error, messages.ERROR)
            return
        self._apply(
            request, queryset, lambda each: service.pause(each, reason, user=request.user), "paused"
        )

    @admin.action(description="Resume the selected schedules", permissions=["run"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._apply(
            request, queryset, lambda each: service.resume(each, user=request.user), "resumed"
        )

    @admin.action(description="Run the selected schedules now", permissions=["run"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._apply(request, queryset, lambda each: service.run_now(each, user=request.user), "run")

    def _apply(
        self,
        request: HttpRequest,
        queryset: QuerySet[Schedule],
        change: Callable[[Schedule], object],
        done: str,
    ) -> None:
        """Change each schedule by itself: an error of one does not stop the others."""
        count = 0
        for schedule in queryset:
            try:
                change(schedule)
            except TaskMasterError as error:
                self.message_user(request, f"Schedule {schedule.name}: {error}", messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, f"{count:,} schedule{'' if count == 1 else 's'} {done}.")
