"""Report the health of this web process and of the coordinators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, ProgrammingError, connection
from django.db.models import F
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from psycopg_pool import PoolTimeout

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks import outage_log
from taskmaster.tasks.conf import settings


@login_not_required
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if the database answers, 503 if it does not or lacks tables.

    The endpoint needs no login, so the answer contains no names. `coordinators` has one entry per
    online coordinator: whether it is healthy, the worst delay of its event loop, and the seconds
    since it was seen, received NOTIFY, claimed, and wrote reports. An unhealthy coordinator does
    not change the status.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        coordinators = _coordinators()
    except ProgrammingError:
        return JsonResponse(
            {"status": "tables are missing or outdated; run `manage.py migrate`"}, status=503
        )
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        outage_log.record_request_error(error)
        return JsonResponse({"status": "database unavailable; retry later"}, status=503)
    return JsonResponse({"status": "ok", "coordinators": coordinators})


def _coordinators() -> list[dict[str, Any]]:
    """Return the health of each online coordinator, with ages by the database's clock."""
    rows: Any = Coordinator.objects.filter(online=True).annotate(
        seen=Now() - F("last_seen_at"),
        heard=Now() - F("heard_at"),
        claimed=Now() - F("claimed_at"),
        flushed=Now() - F("flushed_at"),
    )
    return [
        {
            "well": not row.health_problem and row.seen.total_seconds() < settings().silence_s,
            "health_problem": row.health_problem,
            "loop_lag_ms": row.loop_lag_ms,
            "seen_s": _seconds(row.seen),
            "heard_s": _seconds(row.heard),
            "claimed_s": _seconds(row.claimed),
            "flushed_s": _seconds(row.flushed),
        }
        for row in rows
    ]


def _seconds(age: timedelta | None) -> float | None:
    return None if age is None else round(age.total_seconds(), 1)
