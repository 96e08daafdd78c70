"""Creates tasks from the dashboard's form."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from taskmaster_site.pages.access import needs
from tasks.creation import NewTasksForm, created, kinds
from tasks.permissions import ADD


@require_POST
@needs(ADD)
def create(request: HttpRequest) -> HttpResponse:
    """Creates the tasks, all or none; answers with the form, and a line that says what was done."""
    form = NewTasksForm(request.POST, user=request.user)
    context: dict[str, Any] = {"form": form, "kinds": kinds(request.user)}
    if form.is_valid():
        context["created"] = created(form)
    return render(request, "taskmaster/create.html", context)
