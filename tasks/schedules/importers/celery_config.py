"""Read the `beat_schedule` of a Celery app, or a dict in its form."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers.celery_beat import CELERY_TASKS, OWN_TASK, SOLAR
from taskmaster.tasks.schedules.importers.celery_crontab import cron_expression
from taskmaster.tasks.schedules.importers.found import FoundSchedule

_FORMS = "give MODULE:APP, such as shop.celery:app, or the dotted path of a dict beat_schedule"
_CRONTAB = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def find(source: str) -> Iterator[FoundSchedule]:
    """Yield the entries of the schedule. Raise InvalidField if it cannot be read.

    The classes of Celery are recognized by their attributes, so that Celery is imported only if the
    module of the schedule imports it.
    """
    found = _load(source)
    conf = getattr(found, "conf", None)
    entries = found if conf is None else getattr(conf, "beat_schedule", None)
    if not isinstance(entries, Mapping):
        raise InvalidField("SOURCE", f"{source} is not a Celery app and no dict; {_FORMS}.")
    zone = str(getattr(conf, "timezone", None) or "UTC")
    for name, entry in entries.items():
        yield _found(str(name), entry, zone)


def _load(source: str) -> Any:
    path, colon, attribute = source.partition(":")
    if not colon:
        path, _, attribute = source.rpartition(".")
    if not path or not attribute:
        raise InvalidField("SOURCE", f"is {source!r}; {_FORMS}.")
    try:
        found = importlib.import_module(path)
        for each in attribute.split("."):
            found = getattr(found, each)
    except Exception as error:
        raise InvalidField(
            "SOURCE", f"{source} cannot be imported: {type(error).__name__}: {error}"
        ) from None
    return found


def _found(name: str, entry: Any, zone: str) -> FoundSchedule:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("task"), str):
        return FoundSchedule(name, "–", obstacle="task: is missing.")
    task, options = entry["task"], entry.get("options") or {}
    try:
        if not isinstance(options, Mapping):
            raise InvalidField("options", "must be a dict.")
        fields = {
            **_trigger(entry.get("schedule"), zone),
            "task": task,
            "args": entry.get("args") or [],
            "kwargs": entry.get("kwargs") or {},
        }
    except InvalidField as error:
        return FoundSchedule(name, task, obstacle=str(error))
    if options.get("queue"):
        fields["queue"] = str(options["queue"])
    left_out = [each for each in options if each != "queue"]
    return FoundSchedule(
        name,
        task,
        fields,
        notes=tuple(f"option {each} is left out" for each in left_out),
        obstacle=OWN_TASK if task.startswith(CELERY_TASKS) else "",
    )


def _trigger(schedule: Any, zone: str) -> dict[str, object]:
    if hasattr(schedule, "run_every"):
        schedule = schedule.run_every
    if isinstance(schedule, timedelta):
        return {"interval_s": schedule.total_seconds()}
    if isinstance(schedule, int | float):
        return {"interval_s": float(schedule)}
    if all(hasattr(schedule, f"_orig_{each}") for each in _CRONTAB):
        values = [getattr(schedule, f"_orig_{each}") for each in _CRONTAB]
        return {"cron": cron_expression(*values), "timezone": zone}
    if hasattr(schedule, "lat") and hasattr(schedule, "lon"):
        raise InvalidField("solar", SOLAR)
    raise InvalidField(
        "schedule",
        f"is a {type(schedule).__name__}; only intervals and crontabs can be imported.",
    )
