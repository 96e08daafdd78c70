"""Read the table of django-q2. The package need not be installed."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers.found import FoundSchedule, read_table

_TABLE, _SOURCE = "django_q_schedule", "django-q2"
_HOOKS = ("hook", "timeout_hook", "failure_hook", "cluster")
#: Months between two runs, by the type of the schedule.
_MONTHS = {"M": 1, "BM": 2, "Q": 3, "Y": 12}
#: What `ast.literal_eval` raises for other texts.
_NO_LITERAL = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
#: The last day that every month has.
_LAST_COMMON_DAY = 28


def find(now: datetime) -> Iterator[FoundSchedule]:
    """Yield the schedules. Raise InvalidField if there is no table."""
    rows = read_table(_TABLE, _SOURCE)
    names = Counter(row["name"] or row["func"] for row in rows)
    for row in rows:
        name = row["name"] or row["func"]
        # Names need not be unique there.
        if names[name] > 1:
            name = f"{name} #{row['id']}"
        try:
            notes: list[str] = []
            fields = {**_trigger(row, now, notes), **_call(row, notes)}
        except InvalidField as error:
            yield FoundSchedule(name, row["func"], obstacle=str(error))
        else:
            yield FoundSchedule(name, row["func"], fields, notes=tuple(notes))


def _trigger(row: Mapping[str, Any], now: datetime, notes: list[str]) -> dict[str, object]:
    if row["repeats"] == 0:
        raise InvalidField("repeats", "is 0: the schedule has no run left.")
    fields = _due(row, row["next_run"] or now, notes)
    if row["repeats"] > 0 and "dates" not in fields:
        fields["max_runs"] = row["repeats"]
    return fields


def _due(row: Mapping[str, Any], next_run: datetime, notes: list[str]) -> dict[str, object]:
    kind = row["schedule_type"]
    zone = timezone.get_default_timezone_name()
    if kind == "C":
        return {"cron": row["cron"] or "", "timezone": zone}
    if kind == "O":
        return {"dates": [next_run]}
    if kind in ("I", "H", "BW"):
        minutes = {"I": row["minutes"] or 1, "H": 60, "BW": 14 * 24 * 60}[kind]
        if kind == "BW":
            notes.append("every 14 days of 24 hours: the local time moves with daylight saving")
        return {"interval_s": minutes * 60.0, "anchor": next_run}
    local = next_run.astimezone(timezone.get_default_timezone())
    if local.second or local.microsecond:
        notes.append(f"due at {local:%H:%M}, not at {local:%H:%M:%S}")
    return {"cron": _expression(kind, local), "timezone": zone}


def _expression(kind: str, local: datetime) -> str:
    """Return the cron expression for a run each day, week, or number of months."""
    time = f"{local.minute} {local.hour}"
    if kind == "D":
        return f"{time} * * *"
    if kind == "W":
        return f"{time} * * {local.isoweekday() % 7}"
    if (step := _MONTHS.get(kind)) is None:
        raise InvalidField("schedule_type", f"is {kind!r}, which is unknown.")
    if local.day > _LAST_COMMON_DAY:
        raise InvalidField(
            "next_run",
            f"is on day {local.day}, which not every month has; use a cron expression for it.",
        )
    first = (local.month - 1) % step + 1
    months = "*" if step == 1 else ",".join(map(str, range(first, 13, step)))
    return f"{time} {local.day} {months} *"


def _call(row: Mapping[str, Any], notes: list[str]) -> dict[str, object]:
    args, kwargs = _args(row["args"]), _kwargs(row["kwargs"])
    if isinstance(options := kwargs.pop("q_options", None), dict):
        notes.extend(f"option {name} is left out" for name in options)
    notes.extend(f"{name} is left out" for name in _HOOKS if row.get(name))
    if row.get("intended_date_kwarg"):
        notes.append(f"{row['intended_date_kwarg']} is left out: use current_task().scheduled_for")
    return {"task": row["func"], "args": args, "kwargs": kwargs}


def _args(text: str | None) -> list[object]:
    """Return the arguments, which are stored as Python literals such as `1, 'John'`."""
    if not text:
        return []
    try:
        value = ast.literal_eval(text)
    except _NO_LITERAL:
        raise InvalidField("args", f"is {text[:40]!r}, which is not a Python literal.") from None
    return list(value) if isinstance(value, tuple) else [value]


def _kwargs(text: str | None) -> dict[str, Any]:
    """Return the keyword arguments, which are stored as a dict or as `x=1, name='John'`."""
    if not text:
        return {}
    try:
        value = ast.literal_eval(text)
    except _NO_LITERAL:
        value = _keywords(text)
    if not isinstance(value, dict):
        raise InvalidField("kwargs", f"is {text[:40]!r}, which are no keyword arguments.")
    return value


def _keywords(text: str) -> object:
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (*_NO_LITERAL, AssertionError):
        return None
