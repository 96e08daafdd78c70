"""Many tasks at once from the admin: the same form as on the dashboard."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tasks.creation import NewTasksForm, created
from tasks.permissions import ADD


def view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Shows the form; creates the tasks of a right one, and leads to the list."""
    if not request.user.has_perm(ADD):
        raise PermissionDenied
    form = NewTasksForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        model_admin.message_user(request, created(form), messages.SUCCESS)
        return redirect("admin:tasks_task_changelist")
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Create many tasks",
        "form": form,
    }
    return TemplateResponse(request, "admin/tasks/task/create_many.html", context)
