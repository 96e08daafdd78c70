"""Create tasks from the dashboard's form."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.tasks.forms import NewTasksForm, creatable_tasks, create_tasks
from taskmaster.tasks.permissions import ADD


@require_POST
@needs(ADD)
def create(request: HttpRequest) -> HttpResponse:
    """Create all tasks or none; return the form and a confirmation."""
    form = NewTasksForm(request.POST, user=request.user)
    context: dict[str, Any] = {"form": form, "kinds": creatable_tasks(request.user)}
    if form.is_valid():
        context["created"] = create_tasks(form)
    return render(request, "taskmaster/create.html", context)
