"""Export metrics at `/metrics` for Prometheus, KEDA and the HPA.

All values come from the database, so every web process exports the same values. Scrape only one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Count, F, Max, Min, Sum
from django.db.models.functions import Now
from django.http import HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks.api.conventions import ApiConventions
from taskmaster.tasks.models import Schedule, SchedulerState
from taskmaster.tasks.permissions import VIEW, require
from taskmaster.tasks.statistics import read
from taskmaster.tasks.statistics.depth import DepthCounter
from taskmaster.workers.models import Worker, WorkerPool, WorkerStatus

#: Number of 10-second intervals from which the quantiles are taken: one minute.
_INTERVALS = 6

_depth_counter = DepthCounter()


class PlainText(BaseRenderer):
    """Accept requests for text/plain. The view bypasses it, so it renders only errors, as JSON."""

    media_type = "text/plain"
    format = "txt"

    def render(self, data: Any, *args: object, **kwargs: object) -> bytes:
        """Render an error as JSON."""
        rendered: bytes = JSONRenderer().render(data)
        return rendered


class MetricsView(ApiConventions, APIView):
    """Export the metrics in version 0.0.4 of Prometheus' text format."""

    renderer_classes = [PlainText, JSONRenderer]
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """Return the metrics. Needs the API's authentication and the permission to view tasks."""
        require(request.user, VIEW)
        _depth_counter.count_for_web()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_DatabaseCollector())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _DatabaseCollector(Collector):
    """Collect the metrics from the database at each scrape."""

    def collect(self) -> Iterator[Metric]:
        yield from _tasks()
        yield from _queues()
        yield from _times()
        yield from _workers()
        yield from _pools()
        yield from _coordinators()
        yield from _schedules()


def _tasks() -> Iterator[Metric]:
    overview = read.overview()
    counts = (
        "waiting", "due", "pending", "held", "running", "complete", "failed", "cancelled",
    )  # fmt: skip
    yield _gauge(
        "tasks",
        "Tasks by state. The state due is the part of pending whose scheduled time has passed.",
        ["state"],
        [((state,), getattr(overview, state)) for state in counts],
    )
    yield _gauge(
        "tasks_ended_per_second",
        "Tasks completed or failed per second, averaged over the last 10 to 20 seconds.",
        ["state"],
        [(("complete",), overview.complete_per_s), (("failed",), overview.failed_per_s)],
    )


def _queues() -> Iterator[Metric]:
    now = timezone.now()
    # Report 0 for a served queue that is empty. An autoscaler needs the value to scale down.
    depths = {name: read.QueueCounts(name) for name in _served()}
    depths |= {depth.queue: depth for depth in read.queues()}
    for name, help_text in (
        ("due", "Pending tasks of the queue whose scheduled time has passed."),
        ("pending", "Pending tasks of the queue, due or scheduled for later."),
        ("running", "Tasks of the queue that workers execute."),
        ("waiting", "Parked tasks of the queue: no connected worker can run them."),
    ):
        yield _gauge(
            f"queue_{name}",
            help_text,
            ["queue"],
            [((queue,), getattr(depth, name)) for queue, depth in sorted(depths.items())],
        )
    yield _gauge(
        "queue_wait_seconds",
        "Waiting time of the oldest due task of the queue in seconds; 0 without a due task.",
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
    """Return the queues that live workers serve, and `default`."""
    alive = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    return {
        "default",
        *(name for names in alive.values_list("queues", flat=True) for name in names),
    }


def _times() -> Iterator[Metric]:
    series = read.series()
    for name, period, quantiles in (
        ("wait", "from due to start", {"0.5": series.wait_p50_ms, "0.95": series.wait_p95_ms}),
        ("run", "from start to end", {"0.5": series.run_p50_ms, "0.95": series.run_p95_ms}),
    ):
        yield _gauge(
            f"task_{name}_seconds",
            f"Time {period} of the tasks that ended in the last minute: the highest value of its "
            "10-second intervals.",
            ["quantile"],
            [((quantile,), _worst_s(times)) for quantile, times in quantiles.items()],
        )


def _worst_s(times: Sequence[float | None]) -> float:
    return max((ms / 1_000 for ms in times[-_INTERVALS:] if ms is not None), default=0.0)


def _workers() -> Iterator[Metric]:
    alive = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    counts = dict(alive.values_list("status").annotate(Count("pk")).order_by())
    yield _gauge(
        "workers",
        "Workers that are not offline, by status.",
        ["status"],
        [
            ((status,), counts.get(status, 0))
            for status in (WorkerStatus.ONLINE, WorkerStatus.DRAINING)
        ],
    )
    slots = alive.aggregate(slots=Sum("slots", default=0), busy=Sum("busy", default=0))
    yield _gauge("slots", "Slots of all workers that are not offline.", [], [((), slots["slots"])])
    yield _gauge("slots_busy", "Slots that execute a task.", [], [((), slots["busy"])])


def _pools() -> Iterator[Metric]:
    states = ("desired", "actual", "registered", "draining")
    yield _gauge(
        "pool_workers",
        "Workers of a worker pool: the desired number, and the numbers last found by the "
        "reconciler.",
        ["pool", "state"],
        [
            ((pool.name, state), getattr(pool, state))
            for pool in WorkerPool.objects.all()
            for state in states
        ],
    )


def _coordinators() -> Iterator[Metric]:
    rows = Coordinator.objects.filter(online=True)
    totals = rows.aggregate(
        count=Count("pk"),
        connections=Sum("connections", default=0),
        lag_ms=Max("loop_lag_ms", default=0),
        silence=Max(Now() - F("last_seen_at")),
    )
    unhealthy = rows.exclude(health_problem="").count()
    yield _gauge("coordinators", "Coordinators that are online.", [], [((), totals["count"])])
    yield _gauge(
        "coordinators_unhealthy",
        "Online coordinators that report a health problem.",
        [],
        [((), unhealthy)],
    )
    yield _gauge(
        "coordinator_connections",
        "Database connections of all online coordinators.",
        [],
        [((), totals["connections"])],
    )
    yield _gauge(
        "coordinator_loop_lag_seconds",
        "Highest event-loop delay of all online coordinators in seconds.",
        [],
        [((), totals["lag_ms"] / 1_000)],
    )
    silence = totals["silence"]
    yield _gauge(
        "coordinator_silence_seconds",
        "Longest time in seconds since the last heartbeat of an online coordinator.",
        [],
        [((), silence.total_seconds() if silence else 0.0)],
    )


def _schedules() -> Iterator[Metric]:
    active = Schedule.objects.filter(next_run_at__isnull=False, paused_at__isnull=True)
    late = active.aggregate(late=Now() - Min("next_run_at"))["late"]
    yield _gauge(
        "schedule_late_seconds",
        "Time in seconds by which the next run of a schedule is overdue: the highest value of all "
        "schedules that are not paused. 0 if none is overdue.",
        [],
        [((), max(0.0, late.total_seconds()) if late else 0.0)],
    )
    missed = SchedulerState.objects.aggregate(missed=Sum("missed_total", default=0))["missed"]
    yield CounterMetricFamily(
        "taskmaster_schedule_missed",
        "Due times of schedules whose run was not created within 60 seconds, made up or not.",
        value=missed,
    )


def _gauge(
    name: str,
    help_text: str,
    labels: Sequence[str],
    values: Sequence[tuple[Sequence[str], float]],
) -> Metric:
    family = GaugeMetricFamily(f"taskmaster_{name}", help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family
