"""The dashboard, and the table of it that a filter asks for."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from taskmaster_site.pages import figures, rows
from taskmaster_site.pages.access import is_fragment, needs
from tasks.creation import NewTasksForm, kinds
from tasks.permissions import ADD, VIEW
from workers import permissions as of_workers


@require_safe
@needs(VIEW)
def dashboard(request: HttpRequest) -> HttpResponse:
    """Everything, with the figures of this moment."""
    now = timezone.now()
    sees_workers = request.user.has_perm(of_workers.VIEW)
    channels = "dashboard,dashboard-workers" if sees_workers else "dashboard"
    context = {
        **figures.counters(now),
        **figures.queues(now),
        **figures.tasks(now, rows.Filter.of(request.GET)),
        **figures.activity(now),
        **({**figures.workers(now), **figures.pools(now)} if sees_workers else {}),
        "charts": figures.charts(),
        "chips": rows.CHIPS,
        "sees_workers": sees_workers,
        "stream": f"/api/logs/stream?channels={channels}",
    }
    if request.user.has_perm(ADD):
        form = NewTasksForm(user=request.user)
        context |= {"form": form, "kinds": kinds(request.user)}
    return render(request, "taskmaster/dashboard.html", context)


@require_safe
@needs(VIEW)
def table(request: HttpRequest) -> HttpResponse:
    """The table alone, for a script; whoever opens its address gets the dashboard with it."""
    wanted = rows.Filter.of(request.GET)
    where = reverse("dashboard") + wanted.query
    if not is_fragment(request):
        return redirect(where)
    answer = render(request, "taskmaster/fragments/tasks.html", figures.tasks(None, wanted))
    shown = rows.Filter.of(QueryDict(urlsplit(request.headers.get("HX-Current-URL", "")).query))
    if shown != wanted:
        # A word that is being typed is one step back in the browser, not one a letter.
        typed = shown.search != wanted.search
        answer.headers["HX-Replace-Url" if typed else "HX-Push-Url"] = where
    return answer
