"""Preview, confirm, follow and cancel bulk operations in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST, require_safe

from taskmaster.tasks.admin import show
from taskmaster.tasks.admin.filters import NAMES
from taskmaster.tasks.admin.model_admin import ModelAdmin, ReadOnly
from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk_actions import RULES, Action
from taskmaster.tasks.errors import IllegalTransition, NotAllowed, OperationNotFound
from taskmaster.tasks.models import Operation
from taskmaster.tasks.models.operation import OperationState
from taskmaster.tasks.permissions import VIEW
from taskmaster.tasks.presentation.status_badge import mark

#: Consequences of each action, shown on the preview.
_EXPLANATIONS = {
    Action.CANCEL: "Pending tasks do not run. Running executions are stopped.",
    Action.RETRY: "The tasks become pending and due now, with at least one attempt left.",
    Action.RUN_NOW: "The tasks become due now and start when a worker is free.",
    Action.SET_QUEUE: "The tasks wait in the new queue, and its workers run them.",
    Action.SET_PRIORITY: "Tasks with a higher priority start first.",
    Action.DELETE: "Tasks, results and output are deleted permanently.",
    Action.BACKFILL: "Each due time of the range runs.",
}
#: Destructive actions, which the page confirms with a red button.
_DESTRUCTIVE = frozenset({Action.CANCEL, Action.DELETE})


@admin.register(Operation)
class OperationAdmin(ReadOnly, ModelAdmin[Operation]):
    list_display = (
        "id",
        "mark",
        "summary",
        "progress",
        "refusals_text",
        "creator",
        "created",
        "ended",
    )
    list_display_links = ("id", "summary")
    list_filter = ("state", "action")
    search_fields = ("user", "queue")
    ordering = ("-id",)
    sortable_by = ("id",)
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    class Media:
        css = {"all": (*show.STYLES, "taskmaster/operations.css")}

    def has_view_permission(self, request: HttpRequest, obj: Operation | None = None) -> bool:
        """Permit every user who may view tasks."""
        return request.user.has_perm(VIEW)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operation]:
        """Leave out back-fills if the user may not view schedules."""
        return service.visible(super().get_queryset(request), request.user)

    # ---- the list ---------------------------------------------------------------------------

    created = show.moment("created_at")
    ended = show.moment("finished_at")

    @admin.display(description="state")
    def mark(self, operation: Operation) -> SafeString:
        return mark(operation.state)

    @admin.display(description="operation")
    def summary(self, operation: Operation) -> str:
        return capfirst(operation.intent)

    @admin.display(description="done")
    def progress(self, operation: Operation) -> str:
        return "–" if operation.state == OperationState.PREVIEW else f"{operation.done:,}"

    @admin.display(description="refused")
    def refusals_text(self, operation: Operation) -> str:
        return f"{operation.refusals:,}" if operation.refused else "–"

    @admin.display(description="by")
    def creator(self, operation: Operation) -> str:
        return operation.user or "command line"

    # ---- one operation ----------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the operation, its progress and the buttons for its state."""
        operation = self._get_operation(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            **_context(operation, request.user),
            "opts": self.opts,
            "title": capfirst(operation.title),
        }
        return TemplateResponse(request, "admin/taskmaster_tasks/operation/page.html", context)

    def get_urls(self) -> list[URLPattern]:
        def posted(name: str, verb: Callable[[int, Any], Operation]) -> URLPattern:
            @require_POST
            def view(request: HttpRequest, object_id: str) -> HttpResponse:
                return self._apply(request, object_id, verb)

            handler = self.admin_site.admin_view(view)
            return path(
                f"<int:object_id>/{name}/", handler, name=f"taskmaster_tasks_operation_{name}"
            )

        progress = self.admin_site.admin_view(require_safe(self._progress))
        return [
            posted("confirm", service.confirm),
            posted("cancel", service.cancel),
            path("<int:object_id>/progress/", progress, name="taskmaster_tasks_operation_progress"),
            *super().get_urls(),
        ]

    def _progress(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Render the part of the page that changes, for the polling script."""
        operation = self._get_operation(request, str(object_id))
        context = _context(operation, request.user)
        return render(request, "admin/taskmaster_tasks/operation/panel.html", context)

    def _apply(
        self, request: HttpRequest, object_id: Any, verb: Callable[[int, Any], Operation]
    ) -> HttpResponse:
        operation = self._get_operation(request, str(object_id))
        try:
            verb(operation.pk, request.user)
        except (IllegalTransition, NotAllowed, OperationNotFound) as error:
            self.message_user(request, str(error), messages.ERROR)
        return redirect("admin:taskmaster_tasks_operation_change", operation.pk)

    def _get_operation(self, request: HttpRequest, object_id: str) -> Operation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = self.get_object(request, object_id)
        if operation is None:
            raise Http404(f"There is no operation {object_id}.")
        return operation


def _context(operation: Operation, user: Any) -> dict[str, Any]:
    """Return the context of the page and of its panel."""
    action = Action(operation.action)
    rule = RULES[action]
    may = user.has_perms((rule.view, rule.change))
    preview = operation.state == OperationState.PREVIEW
    handled = operation.done + operation.refusals
    # If the count timed out, tasks may match although it found none.
    some = operation.total or operation.at_least
    return {
        "operation": operation,
        "title_text": capfirst(operation.title),
        "explanation": _EXPLANATIONS[action],
        "destructive": action in _DESTRUCTIVE,
        "list_url": _list_url(operation),
        "is_backfill": action is Action.BACKFILL,
        "may_confirm": preview and may and operation.created_by_id == user.pk and some,
        "may_cancel": may and (preview or operation.active),
        # Fewer or more tasks than counted may match by now.
        "whole": max(operation.total, handled, 1),
        "handled": handled,
    }


def _list_url(operation: Operation) -> str:
    """Return the URL of the task list with the operation's filter.

    Returns an empty string if the tasks are named by ids, for a back-fill, or if the list lacks one
    of the filters.
    """
    if operation.filter is None or not set(operation.filter) <= {*NAMES, "q"}:
        return ""
    query = urlencode(operation.filter)
    return reverse("admin:taskmaster_tasks_task_changelist") + (f"?{query}" if query else "")
