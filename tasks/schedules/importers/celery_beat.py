"""Read the tables of django-celery-beat. The package need not be installed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers.celery_crontab import cron_expression
from taskmaster.tasks.schedules.importers.found import FoundSchedule, read_table

_TABLE = "django_celery_beat_{}"
_SOURCE = "celery-beat"
#: The tasks of Celery itself.
CELERY_TASKS = "celery."
OWN_TASK = "It is a task of Celery itself."
SOLAR = "It follows the sun, which TaskMaster does not support."
_ROUTING = ("exchange", "routing_key", "headers")

_Rows = Mapping[int, Mapping[str, Any]]


def find() -> Iterator[FoundSchedule]:
    """Yield the periodic tasks. Raise InvalidField if there are no tables."""
    kinds = ("intervalschedule", "crontabschedule", "solarschedule", "clockedschedule")
    tasks = read_table(_TABLE.format("periodictask"), _SOURCE)
    # An early version has no clocked schedules, and no column for them either.
    schedules = {
        kind: {row["id"]: row for row in read_table(_TABLE.format(kind), _SOURCE)}
        for kind in kinds
        if any(row.get(_column(kind)) for row in tasks)
    }
    for row in tasks:
        try:
            fields = {**_trigger(row, schedules), **_call(row)}
        except InvalidField as error:
            yield FoundSchedule(row["name"], row["task"], obstacle=str(error))
        else:
            yield FoundSchedule(
                row["name"],
                row["task"],
                fields,
                notes=tuple(_notes(row)),
                obstacle=OWN_TASK if row["task"].startswith(CELERY_TASKS) else "",
                pause_reason="" if row["enabled"] else "Disabled in django-celery-beat.",
            )


def _column(kind: str) -> str:
    return f"{kind.removesuffix('schedule')}_id"


def _trigger(row: Mapping[str, Any], schedules: Mapping[str, _Rows]) -> dict[str, object]:
    for kind, rows in schedules.items():
        if (key := row.get(_column(kind))) is not None:
            fields = _due(kind, rows[key])
            break
    else:
        raise InvalidField("schedule", "is missing; the row names no schedule.")
    if "interval_s" in fields and row.get("last_run_at"):
        # The next run is one interval after the last.
        fields["anchor"] = row["last_run_at"]
    if row.get("start_time"):
        fields["starts_at"] = row["start_time"]
    if row.get("expires"):
        fields["ends_at"] = row["expires"]
    if row.get("one_off") and "dates" not in fields:
        fields["max_runs"] = 1
    return fields


def _due(kind: str, schedule: Mapping[str, Any]) -> dict[str, object]:
    match kind:
        case "intervalschedule":
            return {"interval_s": _seconds(schedule["every"], schedule["period"])}
        case "crontabschedule":
            expression = cron_expression(
                schedule["minute"],
                schedule["hour"],
                schedule["day_of_month"],
                schedule["month_of_year"],
                schedule["day_of_week"],
            )
            return {"cron": expression, "timezone": schedule.get("timezone") or "UTC"}
        case "clockedschedule":
            return {"dates": [schedule["clocked_time"]]}
    raise InvalidField("solar", SOLAR)


def _seconds(every: int, period: str) -> float:
    try:
        return timedelta(**{period: every}).total_seconds()
    except (TypeError, OverflowError):
        raise InvalidField("interval", f"is {every} {period}, which is not a duration.") from None


def _call(row: Mapping[str, Any]) -> dict[str, object]:
    fields: dict[str, object] = {"task": row["task"]}
    for name, empty in (("args", "[]"), ("kwargs", "{}")):
        try:
            fields[name] = json.loads(row[name] or empty)
        except (ValueError, RecursionError):
            raise InvalidField(name, f"is {row[name][:40]!r}, which is not JSON.") from None
    if row.get("queue"):
        fields["queue"] = row["queue"]
    return fields


def _notes(row: Mapping[str, Any]) -> Iterator[str]:
    for name in _ROUTING:
        if row.get(name) and row[name] != "{}":
            yield f"{name} is left out"
    if row.get("priority") is not None:
        yield f"priority {row['priority']} is left out: it is the broker's, with another scale"
    if row.get("expire_seconds"):
        yield f"expires after {row['expire_seconds']} s is left out: a task does not expire"
    if not row["enabled"]:
        yield "disabled: it is created paused"
