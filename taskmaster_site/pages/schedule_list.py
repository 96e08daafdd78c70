"""Serve the page of schedules: a live list with views, a search and pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import current_url, is_fragment
from taskmaster.tasks.models import SchedulerState
from taskmaster.tasks.permissions import (
    CHANGE_SCHEDULE,
    RUN_SCHEDULE,
    VIEW,
    VIEW_SCHEDULE,
    may_shell,
)
from taskmaster.tasks.queries import schedule_runs, schedules
from taskmaster.tasks.queries.schedules import SEARCH_SILENT_S, VIEWS, SchedulePage, ScheduleState
from taskmaster.tasks.registry import SHELL
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME

_STATES = {value: state for _, value, state in VIEWS if state is not None}
#: Label and command of each source of an import.
_IMPORTS = (
    ("crontab", "manage.py taskmaster schedules import crontab FILE --timezone Europe/Berlin"),
    ("django-celery-beat", "manage.py taskmaster schedules import celery-beat"),
    ("Celery, beat_schedule", "manage.py taskmaster schedules import celery shop.celery:app"),
    ("django-q2", "manage.py taskmaster schedules import django-q2"),
)
#: Colour token of the count of each view.
_COLOURS = {"late": "pending", "failed": "failed", "paused": "operator"}


@dataclass(frozen=True, slots=True)
class ScheduleListFilter:
    """Hold the view and the search of the list."""

    view: str = ""
    q: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> ScheduleListFilter:
        """Read a query string; ignore unknown parameters and unknown views."""
        view = str(query.get("view", ""))
        search = str(query.get("q", "")).strip()[:MAX_SCHEDULE_NAME]
        return cls(view if view in _STATES else "", search)

    @property
    def search(self) -> str:
        """Return the text of the search."""
        return self.q

    @property
    def query(self) -> str:
        """Return the query string with its question mark, or an empty string without a filter."""
        return self.with_values()

    def with_values(self, **changed: object) -> str:
        """Return the query string with these values changed."""
        given = {name: value for name, value in {**asdict(self), **changed}.items() if value}
        return f"?{urlencode(given)}" if given else ""


@require_safe
@needs(VIEW_SCHEDULE)
def schedule_list(request: HttpRequest) -> HttpResponse:
    """Render the page, or for a script only the part that changes."""
    list_filter = ScheduleListFilter.from_query(request.GET)
    number = str(request.GET.get("page", ""))
    page = schedules.read_page(
        list_filter.view, list_filter.q, int(number) if number[:9].isdecimal() else 1
    )
    context = _context(request, list_filter, page, datetime.now(UTC))
    if not is_fragment(request):
        return render(request, "taskmaster/schedules.html", context)
    response = render(request, "taskmaster/fragments/schedule_list.html", context)
    previous = ScheduleListFilter.from_query(QueryDict(current_url(request).query))
    if previous != list_filter:
        # While a search is typed, each letter must add no history entry.
        url = reverse("taskmaster:schedules") + list_filter.query
        response.headers["HX-Replace-Url" if previous.q != list_filter.q else "HX-Push-Url"] = url
    return response


def _context(
    request: HttpRequest, list_filter: ScheduleListFilter, page: SchedulePage, now: datetime
) -> dict[str, Any]:
    state = schedules.scheduler_state()
    return {
        "now": now,
        "filter": list_filter,
        "page": page,
        "views": _views(list_filter, page),
        "links": _links(list_filter, page),
        "everything": state,
        "day": schedule_runs.last_day(),
        "searched_at": _silent_since(state, page, now),
        "named": [
            (name, page.named[name], page.counts[name] - len(page.named[name]))
            for name in (ScheduleState.FAILED, ScheduleState.LATE, ScheduleState.PAUSED)
            if name in page.named
        ],
        "fine": page.counts[ScheduleState.ON_TIME] + page.counts[ScheduleState.RUNNING],
        "imports": _IMPORTS,
        "shell": SHELL,
        "may_change": request.user.has_perm(CHANGE_SCHEDULE),
        "may_run": request.user.has_perm(RUN_SCHEDULE),
        "may_shell": may_shell(request.user),
        "stream": stream_url(request),
    }


def stream_url(request: HttpRequest) -> str:
    """Return the URL of the live stream. It has events of tasks if the user may see them."""
    channels = "schedules,all" if request.user.has_perm(VIEW) else "schedules"
    return f"{reverse('taskmaster:api:stream')}?channels={channels}"


def _views(
    list_filter: ScheduleListFilter, page: SchedulePage
) -> list[tuple[str, str, int, str, bool]]:
    """Return label, query string, count, colour token and whether it is current, of each view."""
    return [
        (
            label,
            list_filter.with_values(view=value),
            page.total if state is None else page.counts[state],
            _COLOURS.get(value, ""),
            value == list_filter.view,
        )
        for label, value, state in VIEWS
    ]


def _links(list_filter: ScheduleListFilter, page: SchedulePage) -> dict[str, str]:
    """Return the query strings of the neighbouring pages, without those that do not exist."""
    numbers = {"previous": page.number - 1, "next": page.number + 1}
    return {
        name: list_filter.with_values(page=number)
        for name, number in numbers.items()
        if 1 <= number <= page.pages
    }


def _silent_since(state: SchedulerState, page: SchedulePage, now: datetime) -> datetime | None:
    """Return when a coordinator last searched for due schedules, if that is too long ago."""
    active = page.total - page.counts[ScheduleState.ENDED]
    if not active or state.checked_at is None:
        return None
    silent_s = (now - state.checked_at).total_seconds()
    return state.checked_at if silent_s > SEARCH_SILENT_S else None
