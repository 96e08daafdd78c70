"""What the fragments of the dashboard show. `now` None: the browser counts the time that passes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import Count, Sum

from coordinator.models import Coordinator
from taskmaster_site.pages import rows
from taskmaster_site.pages.activity import UNTOLD, lines
from tasks.models import Event
from tasks.statistics import read as statistics
from workers.models import Worker, WorkerPool, WorkerStatus

#: Lines of the activity log.
_EVENTS = 40
#: Events that are looked at for them.
_LOOKED_AT = 200
#: Points of a sparkline: one a minute.
_SPARK = 60

#: How many workers the buttons of a pool offer.
_STEPS = (1, 3, 5, 10)

Context = dict[str, Any]


def counters(now: datetime | None = None) -> Context:
    """The totals, and the course of the last hour as a line."""
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
        "complaint": _complaint(),
    }


def charts() -> Context:
    """The series of the last hour, with the names of `statistics.Series`."""
    return asdict(statistics.series())


def queues(now: datetime | None = None) -> Context:
    """What waits and runs in each queue, the deepest first."""
    depths = statistics.queues()
    most = max((each.pending + each.running for each in depths), default=0)
    return {"now": now, "queues": depths, "most": most or 1}


def tasks(now: datetime | None = None, wanted: rows.Filter | None = None) -> Context:
    """The newest tasks that meet the filter."""
    wanted = wanted or rows.Filter()
    found, remark = rows.newest(wanted)
    return {"now": now, "tasks": found, "remark": remark, "filter": wanted}


def activity(now: datetime | None = None) -> Context:
    """The newest events, in as many lines as somebody reads."""
    newest = Event.objects.exclude(kind__in=UNTOLD).order_by("-pk")[:_LOOKED_AT]
    return {"now": now, "events": lines(newest)[:_EVENTS]}


def workers(now: datetime | None = None) -> Context:
    """Every worker that is there, in the order of their names."""
    present = list(Worker.objects.exclude(status=WorkerStatus.OFFLINE))
    present.sort(key=lambda worker: _natural(worker.name))
    return {"now": now, "workers": present}


def pools(now: datetime | None = None) -> Context:
    """Every pool, each with the numbers of its buttons."""
    found = [
        (pool, [step for step in _STEPS if pool.minimum <= step <= pool.maximum])
        for pool in WorkerPool.objects.all()
    ]
    return {"now": now, "pools": found}


def _complaint() -> str:
    """What keeps the coordinators from their work, in a sentence; empty when all is well."""
    coordinators = list(Coordinator.objects.filter(online=True))
    if not coordinators:
        return "No coordinator runs, so nothing is started: manage.py runcoordinator starts one."
    complaints = [each.complaint for each in coordinators if each.complaint]
    return f"A coordinator is in trouble: {complaints[0]}." if complaints else ""


def _by_minute(values: list[float] | list[float | None]) -> list[float]:
    """The mean of each minute, 0 where nothing is known."""
    size = max(1, len(values) // _SPARK)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(value or 0.0 for value in group) / len(group) for group in groups]


def _natural(name: str) -> list[tuple[int, str]]:
    """worker-2 before worker-10."""
    parts = name.replace("_", "-").split("-")
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
