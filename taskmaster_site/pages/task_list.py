"""Serve the page of tasks: a live list with filters, a search and pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import is_fragment, keep_address
from taskmaster.taskmaster_site.pages.task_table import (
    CHIPS,
    PAGE_ROWS,
    Position,
    TableFilter,
    read_page,
)
from taskmaster.tasks import registry, retention
from taskmaster.tasks.permissions import VIEW, VIEW_SCHEDULE
from taskmaster.tasks.queries.choices import known_queues
from taskmaster.tasks.queries.search import REACH_TEXT
from taskmaster.tasks.statistics import read as statistics


@require_safe
@needs(VIEW)
def task_list(request: HttpRequest) -> HttpResponse:
    """Render the page, or for a script only the part that changes."""
    table_filter = TableFilter.from_query(request.GET)
    position = Position.from_query(request.GET)
    page = read_page(table_filter, position, sees_schedules=request.user.has_perm(VIEW_SCHEDULE))
    url = reverse("taskmaster:tasks") + table_filter.query
    context = {
        "now": timezone.now(),
        "filter": table_filter,
        "page": page,
        "overview": statistics.overview(),
    }
    if is_fragment(request):
        response = render(request, "taskmaster/fragments/task_list.html", context)
        return keep_address(request, response, table_filter, url)
    if page.is_first and position.after is not None:
        return redirect(url)
    context |= {
        "chips": CHIPS,
        "queues": known_queues(),
        "names": registry.names(),
        "rows": PAGE_ROWS,
        "reach": REACH_TEXT,
        "retention": retention.current().describe(),
        "stream": f"{reverse('taskmaster:api:stream')}?channels=all",
    }
    return render(request, "taskmaster/tasks.html", context)
