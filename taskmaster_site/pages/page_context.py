"""Build the template context of the dashboard's fragments.

`now` is the time that ages refer to. If it is None, the browser computes the ages.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from django.db.models import BooleanField, Count, ExpressionWrapper, Sum

from taskmaster.coordinator.models import Coordinator
from taskmaster.coordinator.store import list_leader_locks
from taskmaster.taskmaster_site.live.link_monitor import (
    COORDINATOR_SILENT_S,
    silent_for,
    worker_silent_s,
)
from taskmaster.taskmaster_site.pages import task_table
from taskmaster.taskmaster_site.pages.activity_log import HIDDEN_KINDS, lines
from taskmaster.tasks.models import Event
from taskmaster.tasks.statistics import read as statistics
from taskmaster.workers.models import Worker, WorkerPool, WorkerStatus

#: Number of lines of the activity log.
_EVENTS = 40
#: Number of events read to fill these lines.
_EVENTS_READ = 200
#: Number of points of a sparkline, one per minute.
_SPARK = 60

#: Worker counts offered as buttons of a pool.
_STEPS = (1, 3, 5, 10)

Context = dict[str, Any]


def counters(now: datetime | None = None) -> Context:
    """Return the totals and the sparklines of the last hour."""
    series = statistics.series()
    ended = sum(series.complete) + sum(series.failed)
    workers = Worker.objects.exclude(status=WorkerStatus.OFFLINE)
    return {
        "now": now,
        "overview": statistics.overview(),
        "capacity": workers.aggregate(count=Count("pk"), slots=Sum("slots", default=0)),
        "failed_share": 100 * sum(series.failed) / ended if ended else 0.0,
        "lines": {
            "waiting": _by_minute(series.wait_p95_ms),
            "running": _by_minute(series.run_p50_ms),
            "complete": _by_minute(series.complete),
            "failed": _by_minute(series.failed),
        },
        "health_problem": _health_problem(),
    }


def charts() -> Context:
    """Return the series of the last hour under the names of `statistics.Series`."""
    return asdict(statistics.series())


def queues(now: datetime | None = None) -> Context:
    """Return the pending and running tasks of each queue, sorted by due, then pending."""
    depths = statistics.queues()
    most = max((each.pending + each.running for each in depths), default=0)
    return {"now": now, "queues": depths, "most": most or 1}


def tasks(
    now: datetime | None = None,
    table_filter: task_table.TableFilter | None = None,
    *,
    sees_schedules: bool = False,
) -> Context:
    """Return the newest tasks that match the filter."""
    table_filter = table_filter or task_table.TableFilter()
    page = task_table.read_page(table_filter, rows=task_table.ROWS, sees_schedules=sees_schedules)
    return {"now": now, "tasks": page.rows, "remark": page.remark, "filter": table_filter}


def activity(now: datetime | None = None) -> Context:
    """Return the newest lines of the activity log."""
    newest = Event.objects.exclude(kind__in=HIDDEN_KINDS).order_by("-pk")[:_EVENTS_READ]
    return {"now": now, "events": lines(newest)[:_EVENTS]}


def workers(now: datetime | None = None) -> Context:
    """Return every worker that is not offline: online, then draining, in natural order of names."""
    present = list(Worker.objects.exclude(status=WorkerStatus.OFFLINE))
    present.sort(key=lambda each: (each.status == WorkerStatus.DRAINING, _natural(each.name)))
    draining = sum(each.status == WorkerStatus.DRAINING for each in present)
    names = Counter(worker.name for worker in present)
    return {
        "now": now,
        "workers": present,
        "online": len(present) - draining,
        "draining": draining,
        "shared_names": {name for name, count in names.items() if count > 1},
    }


class ShownCoordinator(NamedTuple):
    """Hold a coordinator with its state: online, silent or offline."""

    row: Coordinator
    state: str
    #: Whether it holds the leader lock, and so reconciles the worker pools.
    leads: bool


def coordinators(now: datetime | None = None) -> Context:
    """Return the coordinators that are online. Without any, return the one that was seen last."""
    silent = ExpressionWrapper(silent_for(COORDINATOR_SILENT_S), output_field=BooleanField())
    rows: Any = Coordinator.objects.annotate(silent=silent)
    found = list(rows.filter(online=True).order_by("started_at", "pk"))
    leader_locks = list_leader_locks()
    return {
        "now": now,
        "silent_s": COORDINATOR_SILENT_S,
        "online": sum(not row.silent for row in found),
        "coordinators": [
            ShownCoordinator(
                row,
                "offline" if not row.online else "silent" if row.silent else "online",
                row.lock_key in leader_locks,
            )
            for row in found or rows.order_by("-last_seen_at")[:1]
        ],
    }


def fleet_version() -> str:
    """Return a text that changes with the list of workers and the coordinators beside it.

    It is a hash, because not every reader may see the coordinators.
    """
    present = Worker.objects.exclude(status=WorkerStatus.OFFLINE).order_by("pk")
    fields = ("pk", "status", "drain", "command", "heartbeat_misses", "last_seen_at")
    state = (
        list(present.values_list(*fields)),
        present.filter(silent_for(worker_silent_s())).count(),
        Worker.objects.count(),
        [
            (each.row.pk, each.state, each.leads, each.row.health_problem)
            for each in coordinators()["coordinators"]
        ],
    )
    return sha256(repr(state).encode()).hexdigest()


def pools(now: datetime | None = None) -> Context:
    """Return every pool with the worker counts of its buttons."""
    found = [
        (pool, [step for step in _STEPS if pool.minimum <= step <= pool.maximum])
        for pool in WorkerPool.objects.all()
    ]
    return {"now": now, "pools": found}


def _health_problem() -> str:
    """Return a sentence about the first coordinator problem, or an empty string."""
    coordinators = list(Coordinator.objects.filter(online=True))
    if not coordinators:
        return (
            "No coordinator is running, so no task is started. Start one with manage.py "
            "runcoordinator."
        )
    problems = [each.health_problem for each in coordinators if each.health_problem]
    return f"A coordinator reports a problem: {problems[0]}." if problems else ""


def _by_minute(values: list[float] | list[float | None]) -> list[float]:
    """Return the mean of each minute; unknown values count as 0."""
    size = max(1, len(values) // _SPARK)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(value or 0.0 for value in group) / len(group) for group in groups]


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts worker-2 before worker-10."""
    parts = name.replace("_", "-").split("-")
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
