"""View, submit, cancel and retry tasks in the admin. Tasks are never edited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from taskmaster.tasks import task_actions
from taskmaster.tasks.admin import create_many, show
from taskmaster.tasks.admin.actions import ACTIONS, TaskActionForm
from taskmaster.tasks.admin.changelist import EstimatingPaginator, TaskList
from taskmaster.tasks.admin.filters import FILTERS, NAMES
from taskmaster.tasks.admin.forms import NewTaskForm
from taskmaster.tasks.admin.model_admin import ModelAdmin
from taskmaster.tasks.enqueue import enqueue
from taskmaster.tasks.errors import IllegalTransition, NotAllowed, TaskNotFound
from taskmaster.tasks.events.publish import publish_submitted
from taskmaster.tasks.lifecycle import Status, Transition, allows
from taskmaster.tasks.models import Task
from taskmaster.tasks.models.task import command_head
from taskmaster.tasks.permissions import CHANGE, DELETE, VIEW
from taskmaster.tasks.presentation import error_line
from taskmaster.tasks.presentation.status_badge import mark
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.queries.search import REACH, search
from taskmaster.tasks.templatetags.taskmaster import duration, running_s, waiting_s


@admin.register(Task)
class TaskAdmin(ModelAdmin[Task]):
    list_display = (
        "id", "state", "call", "error_text", "queue", "priority", "tag_list", "worker", "attempts",
        "created", "scheduled", "wait", "run",
    )  # fmt: skip
    list_display_links = ("id", "call")
    list_filter = FILTERS
    list_per_page = 50
    paginator = EstimatingPaginator
    # Each count beside a filter would scan the table.
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name",)
    search_help_text = (
        f"Searches the newest {REACH:,} tasks for words in name, arguments and error, or for a "
        "whole tag, queue, worker or submitter. Digits also match any id, #7 only the id 7."
    )
    show_full_result_count = False
    ordering = ("-id",)
    # No index supports another order.
    sortable_by = ("id",)
    actions = ACTIONS
    action_form = TaskActionForm
    fieldsets = (
        (None, {"fields": ("state", "reason", "call", "args_json", "kwargs_json")}),
        ("Result", {"fields": ("result_json",), "classes": ("wide-value",)}),
        ("Errors", {"fields": ("error_list",), "classes": ("wide-value",)}),
        ("Output", {"fields": ("output_text",), "classes": ("wide-value",)}),
        (
            "Times",
            {
                "fields": (
                    "created", "scheduled", "picked", "started", "finished", "wait", "run",
                )
            },
        ),
        (
            "Execution",
            {
                "fields": (
                    "queue", "priority", "tag_list", "attempts", "retry_pauses", "time_out",
                    "on_lost_contact", "worker", "coordinator", "lease", "submitter",
                )
            },
        ),
    )  # fmt: skip
    add_fieldsets = (
        (None, {"fields": ("name", "args", "kwargs")}),
        (
            "Schedule",
            {
                "fields": ("queue", "priority", "scheduled_at", "tags"),
                "description": "An empty field takes the value that the task declares.",
            },
        ),
        (
            "Limits",
            {
                "description": "An empty field takes the value that the task declares.",
                "fields": (
                    "max_attempts",
                    "timeout_s",
                    "retry_base_s",
                    "retry_cap_s",
                    "on_lost_contact",
                ),
            },
        ),
    )

    class Media:
        css = {"all": (*show.STYLES, "taskmaster/operations.css")}
        js = ("taskmaster/operations.js", "taskmaster/declared.js")

    # ---- permissions ------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """Return whether the user may view tasks. In Django's admin, changing implies viewing."""
        return request.user.has_perm(VIEW)

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        return False

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel, retry and change tasks."""
        return request.user.has_perms((VIEW, CHANGE))

    def has_delete_finished_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may start a bulk operation that deletes finished tasks."""
        return request.user.has_perms((VIEW, DELETE))

    # ---- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        tasks = super().get_queryset(request).annotate(command=command_head())
        if (
            request.resolver_match
            and request.resolver_match.url_name == "taskmaster_tasks_task_changelist"
        ):
            return tasks.defer("args", "kwargs", "result", "errors")
        return tasks

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        """Search as all task lists do, with `taskmaster.tasks.queries.search`."""
        return search(queryset, search_term), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskList]:
        return TaskList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Permit only the filters of the list."""
        return lookup in NAMES

    # ---- one task ---------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        may_control = self.has_control_permission(request)
        task = self.get_object(request, object_id) if may_control else None
        may = {
            f"may_{transition.name.lower()}": task is not None
            and allows(Status(task.status), transition)
            for transition in (Transition.CANCEL, Transition.RETRY)
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **may})

    @admin.display(description="status")
    def state(self, task: Task) -> SafeString:
        return mark(task.status)

    @admin.display(description="reason for not running")
    def reason(self, task: Task) -> str:
        return explain_pending(task) or "–"

    @admin.display(description="task")
    def call(self, task: Task) -> str:
        command = getattr(task, "command", None)
        return f"{task.name}: {command}" if command else task.name

    @admin.display(description="error", empty_value="–")
    def error_text(self, task: Task) -> SafeString:
        return error_line.cell(task)

    @admin.display(description="tags")
    def tag_list(self, task: Task) -> str:
        return ", ".join(task.tags) or "–"

    @admin.display(description="attempt")
    def attempts(self, task: Task) -> str:
        return f"{task.attempt} of {task.max_attempts}"

    created = show.moment("created_at")
    scheduled = show.moment("scheduled_at")
    picked = show.moment("picked_at")
    started = show.moment("started_at")
    finished = show.moment("finished_at")

    @admin.display(description="wait")
    def wait(self, task: Task) -> str:
        return duration(waiting_s(task))

    @admin.display(description="run")
    def run(self, task: Task) -> str:
        return duration(running_s(task))

    @admin.display(description="pauses")
    def retry_pauses(self, task: Task) -> str:
        base, cap = duration(task.retry_base_s), duration(task.retry_cap_s)
        return f"{base} before the first retry, doubles with each retry, maximum {cap}"

    @admin.display(description="time-out")
    def time_out(self, task: Task) -> str:
        return duration(task.timeout_s) if task.timeout_s else "none"

    @admin.display(description="submitted by")
    def submitter(self, task: Task) -> str:
        users = get_user_model().objects
        user = users.filter(pk=task.created_by_id).first() if task.created_by_id else None
        return str(user) if user else "–"

    @admin.display(description="args")
    def args_json(self, task: Task) -> SafeString:
        return show.as_json(task.args)

    @admin.display(description="kwargs")
    def kwargs_json(self, task: Task) -> SafeString:
        return show.as_json(task.kwargs)

    @admin.display(description="result")
    def result_json(self, task: Task) -> SafeString | str:
        return show.as_json(task.result) if task.status == Status.COMPLETE else "–"

    @admin.display(description="errors")
    def error_list(self, task: Task) -> SafeString | str:
        return show.errors(task)

    @admin.display(description="output")
    def output_text(self, task: Task) -> SafeString | str:
        return show.output(task)

    # ---- submitting -------------------------------------------------------------------------

    def get_form(
        self, request: HttpRequest, obj: Task | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Task]]:
        if obj is None:
            return type("NewTaskForm", (NewTaskForm,), {"user": request.user})
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Task | None = None) -> list[str]:
        if obj is None:
            return []
        return [str(field) for _, options in self.fieldsets for field in options["fields"]]

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Task:
        task: Task = form.instance
        return task

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        obj.pk = enqueue(form.new_task, created_by_id=request.user.pk)
        publish_submitted([obj.pk], [form.new_task], request.user.get_username())
        obj.refresh_from_db()
        if form.new_task.notice:
            self.message_user(request, form.new_task.notice, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing, because a task has no related objects in the form."""

    # ---- cancelling and retrying one task ---------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        def action_path(
            name: str, operation: Callable[[Any, int], None], became: str
        ) -> URLPattern:
            @require_POST
            def view(request: HttpRequest, task_id: int) -> HttpResponse:
                return self._apply_to_one(request, task_id, operation, became)

            handler = self.admin_site.admin_view(view)
            return path(f"<int:task_id>/{name}/", handler, name=f"taskmaster_tasks_task_{name}")

        many = self.admin_site.admin_view(partial(create_many.view, self))
        return [
            path("create-many/", many, name="taskmaster_tasks_task_create_many"),
            action_path(
                "cancel",
                lambda user, task_id: task_actions.cancel(task_id, by=user.get_username()),
                "cancelled",
            ),
            action_path("retry", task_actions.retry_for, "pending again"),
            *super().get_urls(),
        ]

    def _apply_to_one(
        self,
        request: HttpRequest,
        task_id: int,
        operation: Callable[[Any, int], None],
        became: str,
    ) -> HttpResponse:
        if not self.has_control_permission(request):
            raise PermissionDenied
        try:
            operation(request.user, task_id)
        except (IllegalTransition, NotAllowed, TaskNotFound) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"Task {task_id} is {became}.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:taskmaster_tasks_task_change", args=[task_id]))
