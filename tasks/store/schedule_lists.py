"""Read lists of schedules and of their runs, on Django's connection, for pages and interfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.messages import ListedRun, ListedSchedule
from taskmaster.tasks.schedule_messages import DayOutcome, ListedSchedules
from taskmaster.tasks.statements import statement
from taskmaster.tasks.utc_time import in_utc

#: Indices of the times in `ListedRun`.
_TIMES = [
    ListedRun._fields.index(name)
    for name in ("due_at", "last_due_at", "run_at", "scheduled_at", "started_at", "finished_at")
]


def list_schedule_states(
    *,
    search: str = "",
    schedule_id: int | None = None,
    state: str = "",
    late_s: float,
    page: int = 1,
    rows: int = 1,
    named: int = 0,
    using: str = DEFAULT_DB_ALIAS,
) -> ListedSchedules:
    """List a page of the schedules whose name or task contains `search`, the one due next first.

    `schedule_id` selects one schedule, and `state` the rows. The counts are those of all states.
    The result names up to `named` schedules of each state that needs a person.
    """
    escaped = search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    parameters = {
        "search": f"%{escaped}%" if escaped else "",
        "schedule_id": schedule_id,
        "state": state,
        "late_s": late_s,
        "page": page,
        "rows": rows,
        "named": named,
    }
    found = ListedSchedules(Counter(), {}, [])
    with connections[using].cursor() as cursor:
        cursor.execute(statement("list_schedule_states"), parameters)
        for part, state_of, number, name in cursor.fetchall():
            if part == "count":
                found.counts[state_of] = number
            elif part == "named":
                found.named.setdefault(state_of, []).append(ListedSchedule(number, name, state_of))
            else:
                found.rows.append(ListedSchedule(number, name, state_of))
    return found


def list_schedule_runs(
    ids: Sequence[int], *, most: int, using: str = DEFAULT_DB_ALIAS
) -> list[ListedRun]:
    """List up to `most` runs of each schedule, newest first."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement("list_schedule_runs"), {"ids": list(ids), "most": most})
        return [_listed_run(row) for row in cursor.fetchall()]


def _listed_run(row: tuple[Any, ...]) -> ListedRun:
    """Convert a row of `list_schedule_runs`. A float has the microseconds of its times."""
    values = [*row]
    for index in _TIMES:
        if values[index] is not None:
            values[index] = datetime.fromtimestamp(values[index], UTC)
    return ListedRun(*values)


def list_runs_ahead(
    ids: Sequence[int], using: str = DEFAULT_DB_ALIAS
) -> list[tuple[int, datetime]]:
    """List when the first run of each schedule starts that was created ahead, if there is one."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement("list_runs_ahead"), {"ids": list(ids)})
        return [(schedule_id, in_utc(run_at)) for schedule_id, run_at in cursor.fetchall()]


def count_day_runs(*, most: int, using: str = DEFAULT_DB_ALIAS) -> list[DayOutcome]:
    """Count the outcomes of up to `most` runs of the last day, the newest ones."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement("count_day_runs"), {"most": most})
        return [DayOutcome(*row) for row in cursor.fetchall()]
