"""Read lists of schedules and of their runs, on Django's connection, for pages and interfaces."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.messages import ListedRun, ListedSchedule
from taskmaster.tasks.models.utc_time import row_in_utc
from taskmaster.tasks.statements import statement


def list_schedule_states(
    *,
    search: str = "",
    schedule_id: int | None = None,
    late_s: float,
    using: str = DEFAULT_DB_ALIAS,
) -> list[ListedSchedule]:
    """List every schedule whose name or task contains `search`, the one due next first.

    `schedule_id` selects one schedule.
    """
    escaped = search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    with connections[using].cursor() as cursor:
        cursor.execute(
            statement("list_schedule_states"),
            {
                "search": f"%{escaped}%" if escaped else "",
                "schedule_id": schedule_id,
                "late_s": late_s,
            },
        )
        return [ListedSchedule(*row) for row in cursor.fetchall()]


def list_schedule_runs(
    ids: Sequence[int], *, most: int, using: str = DEFAULT_DB_ALIAS
) -> list[ListedRun]:
    """List up to `most` runs of each schedule, newest first."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement("list_schedule_runs"), {"ids": list(ids), "most": most})
        return [ListedRun(*row_in_utc(row)) for row in cursor.fetchall()]
