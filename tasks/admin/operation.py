"""Operations on many tasks in the admin: previewed, confirmed, followed, stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST, require_safe

from tasks.admin import show
from tasks.admin.filters import NAMES
from tasks.admin.readonly import ReadOnly
from tasks.bulk import operate
from tasks.bulk.actions import RULES, Action, tasks_in_words
from tasks.errors import IllegalTransition, NotAllowed, OperationNotFound
from tasks.marks import mark
from tasks.models import Operation
from tasks.models.operation import State
from tasks.permissions import VIEW

#: What will happen, said before it does.
_EXPLAINED = {
    Action.CANCEL: "They will not run; executions under way are stopped.",
    Action.RETRY: "They are pending again, due now, with at least one attempt left.",
    Action.RUN_NOW: "Their time is set to now; they start as soon as a worker is free.",
    Action.SET_QUEUE: "They wait in the other queue from then on, and its workers run them.",
    Action.SET_PRIORITY: "Higher priorities are started first.",
    Action.DELETE: "Tasks, results and output are gone for good.",
}
#: Confirmed with a red button.
_HARSH = frozenset({Action.CANCEL, Action.DELETE})


@admin.register(Operation)
class OperationAdmin(ReadOnly, admin.ModelAdmin[Operation]):
    list_display = ("id", "mark", "what", "progress", "refusals_text", "who", "created", "ended")
    list_display_links = ("id", "what")
    list_filter = ("state", "action")
    search_fields = ("user", "queue")
    ordering = ("-id",)
    sortable_by = ("id",)
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    class Media:
        css = {"all": ("taskmaster/operations.css",)}

    def has_view_permission(self, request: HttpRequest, obj: Operation | None = None) -> bool:
        """Who may see tasks may see what is done to them."""
        return request.user.has_perm(VIEW)

    # ---- the list ---------------------------------------------------------------------------

    created = show.moment("created_at")
    ended = show.moment("finished_at")

    @admin.display(description="state")
    def mark(self, operation: Operation) -> SafeString:
        return mark(operation.state)

    @admin.display(description="operation")
    def what(self, operation: Operation) -> str:
        return capfirst(operation.intent)

    @admin.display(description="done")
    def progress(self, operation: Operation) -> str:
        return "–" if operation.state == State.PREVIEW else f"{operation.done:,}"

    @admin.display(description="refused")
    def refusals_text(self, operation: Operation) -> str:
        return f"{operation.refusals:,}" if operation.refused else "–"

    @admin.display(description="by")
    def who(self, operation: Operation) -> str:
        return operation.user or "command line"

    # ---- one operation ----------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What it is, how far it is, and the buttons that go with its state."""
        operation = self._found(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            **_shown(operation, request.user),
            "opts": self.opts,
            "title": capfirst(_words(operation)),
        }
        return TemplateResponse(request, "admin/tasks/operation/page.html", context)

    def get_urls(self) -> list[URLPattern]:
        def posted(name: str, verb: Callable[[int, Any], Operation]) -> URLPattern:
            @require_POST
            def view(request: HttpRequest, object_id: str) -> HttpResponse:
                return self._apply(request, object_id, verb)

            handler = self.admin_site.admin_view(view)
            return path(f"<int:object_id>/{name}/", handler, name=f"tasks_operation_{name}")

        progress = self.admin_site.admin_view(require_safe(self._progress))
        return [
            posted("confirm", operate.confirm),
            posted("cancel", operate.cancel),
            path("<int:object_id>/progress/", progress, name="tasks_operation_progress"),
            *super().get_urls(),
        ]

    def _progress(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The part of the page that changes, for the script that asks for it."""
        operation = self._found(request, str(object_id))
        context = _shown(operation, request.user)
        return render(request, "admin/tasks/operation/panel.html", context)

    def _apply(
        self, request: HttpRequest, object_id: Any, verb: Callable[[int, Any], Operation]
    ) -> HttpResponse:
        operation = self._found(request, str(object_id))
        try:
            verb(operation.pk, request.user)
        except (IllegalTransition, NotAllowed, OperationNotFound) as error:
            self.message_user(request, str(error), messages.ERROR)
        return redirect("admin:tasks_operation_change", operation.pk)

    def _found(self, request: HttpRequest, object_id: str) -> Operation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = self.get_object(request, object_id)
        if operation is None:
            raise Http404(f"There is no operation {object_id}.")
        return operation


def _shown(operation: Operation, user: Any) -> dict[str, Any]:
    """What page and panel show."""
    action = Action(operation.action)
    may = user.has_perm(RULES[action].permission)
    preview = operation.state == State.PREVIEW
    handled = operation.done + operation.refusals
    # Where the count was given up, there may be some although it found none.
    some = operation.total or operation.at_least
    return {
        "operation": operation,
        "words": capfirst(_words(operation)),
        "explained": _EXPLAINED[action],
        "harsh": action in _HARSH,
        "list_of_tasks": _list(operation),
        "may_confirm": preview and may and operation.created_by_id == user.pk and some,
        "may_cancel": may and (preview or operation.active),
        # There may be fewer by now, or more than were counted.
        "whole": max(operation.total, handled, 1),
        "handled": handled,
    }


def _words(operation: Operation) -> str:
    """`cancel 1,284 tasks`."""
    tasks = tasks_in_words(operation.total, at_least=operation.at_least)
    begin = RULES[Action(operation.action)].begin
    return begin.format(tasks=tasks, queue=operation.queue, priority=operation.priority)


def _list(operation: Operation) -> str:
    """The address of the list with the same filter; empty where the list has not all of it."""
    if operation.filter is None or not set(operation.filter) <= {*NAMES, "q"}:
        return ""
    query = urlencode(operation.filter)
    return reverse("admin:tasks_task_changelist") + (f"?{query}" if query else "")
