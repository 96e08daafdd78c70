"""`/metrics`: the figures of the dashboard for Prometheus, and through it for KEDA and the HPA.

Every web process gives the same answer, as it stands in the database: scrape one address, not each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Count, F, Max, Sum
from django.db.models.functions import Now
from django.http import HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from coordinator.models import Coordinator
from tasks.permissions import VIEW, require
from tasks.statistics import read
from tasks.statistics.census import Census
from workers.models import Worker, WorkerPool, WorkerStatus

#: Bars of the charts that the quantiles are taken from: a minute.
_BARS = 6

_census = Census()


class PlainText(BaseRenderer):
    """Lets a client ask for text/plain; an error is JSON all the same."""

    media_type = "text/plain"
    format = "txt"

    def render(self, data: Any, *args: object, **kwargs: object) -> bytes:
        """The error."""
        rendered: bytes = JSONRenderer().render(data)
        return rendered


class MetricsView(APIView):
    """The figures as text, version 0.0.4 of Prometheus' format."""

    renderer_classes = [PlainText, JSONRenderer]
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """Needs a token as the API does, of somebody who may see tasks."""
        require(request.user, VIEW)
        _census.take_for_screen()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Figures(Collector):
    """What is read from the database at each scrape."""

    def collect(self) -> Iterator[Metric]:
        yield from _tasks()
        yield from _queues()
        yield from _times()
        yield from _workers()
        yield from _pools()
        yield from _coordinators()


def _tasks() -> Iterator[Metric]:
    overview = read.overview()
    counts = ("due", "pending", "held", "running", "complete", "failed", "cancelled")
    yield _gauge(
        "tasks",
        "Tasks by state; due are those pending ones whose time has come.",
        ["state"],
        [((state,), getattr(overview, state)) for state in counts],
    )
    yield _gauge(
        "tasks_ended_per_second",
        "Tasks that ended, over the last ten to twenty seconds.",
        ["state"],
        [(("complete",), overview.complete_per_s), (("failed",), overview.failed_per_s)],
    )


def _queues() -> Iterator[Metric]:
    now = timezone.now()
    # A queue in which nothing waits any more is nought, not absent: an autoscaler must see it.
    depths = {name: read.QueueDepth(name, 0, 0, None, 0, 0) for name in _served()}
    depths |= {depth.queue: depth for depth in read.queues()}
    for name, meaning in (
        ("due", "Tasks whose time has come and that no worker has been given."),
        ("pending", "Tasks that wait, those among them that are not due yet."),
        ("running", "Tasks that workers run."),
    ):
        yield _gauge(
            f"queue_{name}",
            meaning,
            ["queue"],
            [((queue,), getattr(depth, name)) for queue, depth in sorted(depths.items())],
        )
    yield _gauge(
        "queue_wait_seconds",
        "How long the oldest due task has been waiting; 0 when none is.",
        ["queue"],
        [
            (
                (queue,),
                max(0.0, (now - depth.oldest_due).total_seconds()) if depth.oldest_due else 0.0,
            )
            for queue, depth in sorted(depths.items())
        ],
    )


def _served() -> set[str]:
    """The queues that workers name, and the one that is always there."""
    alive = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    return {
        "default",
        *(name for names in alive.values_list("queues", flat=True) for name in names),
    }


def _times() -> Iterator[Metric]:
    series = read.series()
    for name, meaning, bars in (
        ("wait", "From due to start", {"0.5": series.wait_p50_ms, "0.95": series.wait_p95_ms}),
        ("run", "From start to end", {"0.5": series.run_p50_ms, "0.95": series.run_p95_ms}),
    ):
        yield _gauge(
            f"task_{name}_seconds",
            f"{meaning}, of tasks that returned in the last minute: the worst ten seconds of it.",
            ["quantile"],
            [((quantile,), _worst_s(times)) for quantile, times in bars.items()],
        )


def _worst_s(times: Sequence[float | None]) -> float:
    return max((ms / 1_000 for ms in times[-_BARS:] if ms is not None), default=0.0)


def _workers() -> Iterator[Metric]:
    alive = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    counts = dict(alive.values_list("status").annotate(Count("pk")).order_by())
    yield _gauge(
        "workers",
        "Workers by status.",
        ["status"],
        [
            ((status,), counts.get(status, 0))
            for status in (WorkerStatus.ONLINE, WorkerStatus.DRAINING)
        ],
    )
    slots = alive.aggregate(slots=Sum("slots", default=0), busy=Sum("busy", default=0))
    yield _gauge("slots", "Slots of the workers that are there.", [], [((), slots["slots"])])
    yield _gauge("slots_busy", "Slots in which a task runs.", [], [((), slots["busy"])])


def _pools() -> Iterator[Metric]:
    states = ("desired", "actual", "registered", "draining")
    yield _gauge(
        "pool_workers",
        "Workers of a pool: those there shall be, and what the reconciler found last.",
        ["pool", "state"],
        [
            ((pool.name, state), getattr(pool, state))
            for pool in WorkerPool.objects.all()
            for state in states
        ],
    )


def _coordinators() -> Iterator[Metric]:
    rows = Coordinator.objects.filter(online=True)
    figures = rows.aggregate(
        count=Count("pk"),
        connections=Sum("connections", default=0),
        lag_ms=Max("loop_lag_ms", default=0),
        silence=Max(Now() - F("last_seen_at")),
    )
    unwell = rows.exclude(complaint="").count()
    yield _gauge("coordinators", "Coordinators that are online.", [], [((), figures["count"])])
    yield _gauge("coordinators_unwell", "Those that cannot do their work.", [], [((), unwell)])
    yield _gauge(
        "coordinator_connections", "Their database connections.", [], [((), figures["connections"])]
    )
    yield _gauge(
        "coordinator_loop_lag_seconds",
        "The worst delay of an event loop among them.",
        [],
        [((), figures["lag_ms"] / 1_000)],
    )
    silence = figures["silence"]
    yield _gauge(
        "coordinator_silence_seconds",
        "Since the one was heard of that has been silent for longest.",
        [],
        [((), silence.total_seconds() if silence else 0.0)],
    )


def _gauge(
    name: str,
    meaning: str,
    labels: Sequence[str],
    values: Sequence[tuple[Sequence[str], float]],
) -> Metric:
    family = GaugeMetricFamily(f"taskmaster_{name}", meaning, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
