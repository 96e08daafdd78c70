"""Create many tasks from the admin, with the same form as the dashboard."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from taskmaster.tasks.forms import NewTasksForm, create_tasks
from taskmaster.tasks.permissions import ADD


def view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the form. If it is valid, create the tasks and redirect to the task list."""
    if not request.user.has_perm(ADD):
        raise PermissionDenied
    form = NewTasksForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        model_admin.message_user(request, create_tasks(form), messages.SUCCESS)
        return redirect("admin:taskmaster_tasks_task_changelist")
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Create many tasks",
        "form": form,
    }
    return TemplateResponse(request, "admin/taskmaster_tasks/task/create_many.html", context)
