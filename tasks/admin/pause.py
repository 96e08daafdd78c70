"""Show pauses in the admin, and resume the selected ones.

The dashboard, REST and the command line pause, since a pause needs a reason.
"""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.model_admin import ModelAdmin, ReadOnly
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.models import Pause
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW
from taskmaster.tasks.policies import pausing


@admin.register(Pause)
class PauseAdmin(ReadOnly, ModelAdmin[Pause]):
    list_display = ("subject", "since", "paused_by", "reason")
    list_filter = ("kind",)
    search_fields = ("target", "reason")
    show_facets = admin.ShowFacets.NEVER
    actions = ("resume_selected",)

    class Media:
        css = {"all": show.STYLES}

    since = show.moment("paused_at")

    def has_view_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        """Permit every user who may view tasks."""
        return request.user.has_perm(VIEW)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Permit the action to users who may pause."""
        return request.user.has_perms((VIEW, PAUSE_QUEUE))

    @admin.display(description="paused")
    def subject(self, pause: Pause) -> str:
        return pause.subject

    @admin.action(description="Resume the selected", permissions=["pause"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        for pause in queryset:
            try:
                pausing.resume(pause.kind, pause.target, user=request.user)
            except TaskMasterError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{pause.subject} is resumed.")
