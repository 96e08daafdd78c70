"""Serve the page of workers: a live list with filters and pages, and the coordinators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from taskmaster.taskmaster_site.live.link_monitor import silent_for, worker_silent_s
from taskmaster.taskmaster_site.pages import page_context
from taskmaster.taskmaster_site.pages.permissions import needs
from taskmaster.taskmaster_site.pages.responses import current_url, is_fragment
from taskmaster.tasks.permissions import VIEW_COORDINATORS
from taskmaster.workers.models import Worker, WorkerPool, WorkerStatus
from taskmaster.workers.models.worker import PRESENT_FIRST
from taskmaster.workers.permissions import VIEW

#: Number of workers of a page.
ROWS = 50
#: Label and value of each chip above the list, for the filter `status`.
CHIPS = (("All", ""), *((status.value.capitalize(), status.value) for status in WorkerStatus))
#: Value of the filter `pool` for workers that belong to no pool. No pool can have this name.
NO_POOL = "-"


@dataclass(frozen=True, slots=True)
class WorkerListFilter:
    """Hold the filters of the list, named as in `GET /api/workers/`."""

    status: str = ""
    pool: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> WorkerListFilter:
        """Read a query string; ignore unknown parameters and unknown statuses."""
        status = str(query.get("status", ""))
        return cls(status if status in WorkerStatus else "", str(query.get("pool", ""))[:63])

    @property
    def conditions(self) -> dict[str, str]:
        """Return the filters that are set."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def query(self) -> str:
        """Return the query string with its question mark, or an empty string without a filter."""
        return f"?{urlencode(self.conditions)}" if self.conditions else ""

    def apply(self) -> QuerySet[Worker]:
        """Return the matching workers: online, draining, then offline ones, the newest first."""
        silent = ExpressionWrapper(_silent(), output_field=BooleanField())
        workers = Worker.objects.annotate(silent=silent).order_by(*PRESENT_FIRST)
        if self.status:
            workers = workers.filter(status=self.status)
        if self.pool:
            workers = workers.filter(pool="" if self.pool == NO_POOL else self.pool)
        return workers


@require_safe
@needs(VIEW)
def worker_list(request: HttpRequest) -> HttpResponse:
    """Render the page, or for a script only the part that changes."""
    worker_filter = WorkerListFilter.from_query(request.GET)
    page = Paginator(worker_filter.apply(), ROWS).get_page(request.GET.get("page"))
    now = timezone.now()
    context = {
        "now": now,
        "filter": worker_filter,
        "page": page,
        "links": _links(worker_filter, page),
        "fleet": _fleet(),
    }
    if request.user.has_perm(VIEW_COORDINATORS):
        context |= page_context.coordinators(now)
    if is_fragment(request):
        response = render(request, "taskmaster/fragments/worker_list.html", context)
        current = QueryDict(current_url(request).query)
        if WorkerListFilter.from_query(current) != worker_filter:
            response.headers["HX-Push-Url"] = reverse("taskmaster:workers") + worker_filter.query
        return response
    context |= {
        "chips": CHIPS,
        "pools": _pools(worker_filter),
        "stream": f"{reverse('taskmaster:api:stream')}?channels=workers",
    }
    return render(request, "taskmaster/workers.html", context)


def _links(worker_filter: WorkerListFilter, page: Page[Worker]) -> dict[str, str]:
    """Return the query strings of the neighbouring pages, without those that do not exist."""
    numbers = {}
    if page.has_previous():
        numbers["newer"] = page.previous_page_number()
    if page.has_next():
        numbers["older"] = page.next_page_number()
    return {
        name: f"?{urlencode({**worker_filter.conditions, 'page': number})}"
        for name, number in numbers.items()
    }


def _silent() -> Q:
    """Select workers that are not offline and were not seen for two heartbeats."""
    return ~Q(status=WorkerStatus.OFFLINE) & silent_for(worker_silent_s())


def _fleet() -> dict[str, int]:
    """Return the figures of all workers that are not offline."""
    present = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    return present.aggregate(
        online=Count("pk", filter=Q(status=WorkerStatus.ONLINE)),
        draining=Count("pk", filter=Q(status=WorkerStatus.DRAINING)),
        silent=Count("pk", filter=_silent()),
        slots=Sum("slots", default=0),
        busy=Sum("busy", default=0),
    )


def _pools(worker_filter: WorkerListFilter) -> Sequence[str]:
    """Return the pools to choose from: the existing ones, those of workers, and the chosen one."""
    names = {*WorkerPool.objects.values_list("name", flat=True)}
    present = Worker.objects.exclude(status=WorkerStatus.OFFLINE).exclude(pool="")
    names.update(present.values_list("pool", flat=True))
    names.update({worker_filter.pool} - {"", NO_POOL})
    return sorted(names)
