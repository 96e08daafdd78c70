"""Serve the dashboard and its filtered task table."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from taskmaster.taskmaster_site.pages import page_context, task_table
from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import is_fragment, keep_address
from taskmaster.tasks.forms import NewTasksForm, creatable_tasks
from taskmaster.tasks.permissions import ADD, VIEW, VIEW_COORDINATORS, VIEW_SCHEDULE
from taskmaster.workers import permissions as worker_permissions


@require_safe
@needs(VIEW)
def dashboard(request: HttpRequest) -> HttpResponse:
    """Render the dashboard with the current figures."""
    now = timezone.now()
    sees_workers = request.user.has_perm(worker_permissions.VIEW)
    sees_coordinators = request.user.has_perm(VIEW_COORDINATORS)
    channels = "dashboard"
    channels += ",dashboard-workers" if sees_workers else ""
    channels += ",coordinators" if sees_coordinators else ""
    context = {
        **page_context.counters(now),
        **page_context.queues(now),
        **_tasks(request, now, task_table.TableFilter.from_query(request.GET)),
        **page_context.activity(now),
        **({**page_context.workers(now), **page_context.pools(now)} if sees_workers else {}),
        **(page_context.coordinators(now) if sees_coordinators else {}),
        "charts": page_context.charts(),
        "chips": task_table.CHIPS,
        "sees_workers": sees_workers,
        "sees_coordinators": sees_coordinators,
        "stream": f"{reverse('taskmaster:api:stream')}?channels={channels}",
    }
    if request.user.has_perm(ADD):
        form = NewTasksForm(user=request.user)
        context |= {"form": form, "kinds": creatable_tasks(request.user)}
    return render(request, "taskmaster/dashboard.html", context)


def _tasks(
    request: HttpRequest, now: datetime | None, table_filter: task_table.TableFilter
) -> page_context.Context:
    sees_schedules = request.user.has_perm(VIEW_SCHEDULE)
    return page_context.tasks(now, table_filter, sees_schedules=sees_schedules)


@require_safe
@needs(VIEW)
def table(request: HttpRequest) -> HttpResponse:
    """Render the task table for a script. Redirect other requests to the dashboard."""
    table_filter = task_table.TableFilter.from_query(request.GET)
    url = reverse("taskmaster:dashboard") + table_filter.query
    if not is_fragment(request):
        return redirect(url)
    context = _tasks(request, None, table_filter)
    response = render(request, "taskmaster/fragments/tasks.html", context)
    return keep_address(request, response, table_filter, url)
