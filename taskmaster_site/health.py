"""Whether this web process can do its work, and how the coordinators fare."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, ProgrammingError, connection
from django.db.models import F
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from psycopg_pool import PoolTimeout

from coordinator.models import Coordinator
from taskmaster_site import trouble
from tasks.conf import settings


def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when the database answers, 503 when it does not or lacks tables.

    Open to everybody, so it names nobody. `coordinators` has an entry for each that is online:
    whether it does its work, the worst delay of its event loop, and the seconds since it was heard
    of, heard NOTIFY, claimed, and wrote reports. Their trouble does not change the status.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        coordinators = _coordinators()
    except ProgrammingError:
        return JsonResponse({"status": "tables are missing: run manage.py migrate"}, status=503)
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        trouble.met(error)
        return JsonResponse({"status": "the database does not answer"}, status=503)
    return JsonResponse({"status": "ok", "coordinators": coordinators})


def _coordinators() -> list[dict[str, Any]]:
    """By the database's clock."""
    rows: Any = Coordinator.objects.filter(online=True).annotate(
        seen=Now() - F("last_seen_at"),
        heard=Now() - F("heard_at"),
        claimed=Now() - F("claimed_at"),
        flushed=Now() - F("flushed_at"),
    )
    return [
        {
            "well": not row.complaint and row.seen.total_seconds() < settings().silence_s,
            "complaint": row.complaint,
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
