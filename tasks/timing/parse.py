"""Validate when a schedule is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.utils.dateparse import parse_datetime

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.timing.rules import (
    MissedPolicy,
    OverlapPolicy,
    RepeatedTime,
    SkippedTime,
    TriggerKind,
)
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import CronTrigger, DatesTrigger, IntervalTrigger, Trigger


@dataclass(frozen=True)
class ParsedTiming:
    """Hold the valid columns of a schedule, and their timing."""

    values: dict[str, Any]
    timing: Timing

    def columns(self) -> dict[str, object]:
        """Return the columns of `Schedule`."""
        return {**_DEFAULTS, **self.values}


TRIGGER_FIELDS = ("cron", "interval_s", "dates")
TIMING_FIELDS = (
    *TRIGGER_FIELDS,
    "anchor",
    "timezone",
    "skipped_time",
    "repeated_time",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_s",
    "missed",
    "missed_max",
    "catch_up_s",
    "overlap",
)
_DEFAULTS: dict[str, Any] = {
    "cron": "",
    "interval_s": None,
    "anchor": None,
    "dates": [],
    "skipped_time": SkippedTime.CRON,
    "repeated_time": RepeatedTime.CRON,
    "starts_at": None,
    "ends_at": None,
    "max_runs": None,
    "jitter_s": 0.0,
    "missed": MissedPolicy.LATEST,
    "missed_max": 10,
    "catch_up_s": 86_400.0,
    "overlap": OverlapPolicy.ALLOW,
}
_CHOICES: dict[str, type[StrEnum]] = {
    "skipped_time": SkippedTime,
    "repeated_time": RepeatedTime,
    "missed": MissedPolicy,
    "overlap": OverlapPolicy,
}


def parse_timing(fields: Mapping[str, object], now: datetime) -> ParsedTiming:
    """Return the columns and the timing. Raise InvalidField."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    kinds = [name for name in ("cron", "interval_s", "dates") if name in given]
    if len(kinds) != 1:
        raise InvalidField("cron", "give exactly one of cron, interval_s and dates.")
    try:
        zone = ZoneInfo(given.get("timezone", "UTC"))
    except (KeyError, ValueError):
        raise InvalidField("timezone", f"{given['timezone']!r} is not a time zone.") from None
    columns: dict[str, Any] = {"timezone": zone.key}
    trigger: Trigger
    if "cron" in given:
        try:
            CronSim(given["cron"], now)
        except (CronSimError, AttributeError):
            raise InvalidField("cron", f"{given['cron']!r} is not valid.") from None
        trigger = CronTrigger(given["cron"], zone)
        columns |= {"trigger": TriggerKind.CRON, "cron": given["cron"]}
    elif "interval_s" in given:
        seconds = given["interval_s"]
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 1:
            raise InvalidField("interval_s", f"is {seconds}; it must be at least 1.")
        anchor = _time(given.get("anchor", now), "anchor", zone)
        trigger = IntervalTrigger(timedelta(seconds=seconds), anchor, zone)
        columns |= {"trigger": TriggerKind.INTERVAL, "interval_s": seconds, "anchor": anchor}
    else:
        if not isinstance(given["dates"], list):
            raise InvalidField("dates", "must be a list.")
        dates = sorted(_time(each, "dates", zone) for each in given["dates"])
        trigger = DatesTrigger(tuple(dates), zone)
        columns |= {"trigger": TriggerKind.DATES, "dates": dates}
    for name in ("starts_at", "ends_at"):
        if name in given:
            columns[name] = _time(given[name], name, zone)
    for name, kind in _CHOICES.items():
        if name in given:
            if given[name] not in list(kind):
                raise InvalidField(name, f"must be one of {', '.join(kind)}.")
            columns[name] = given[name]
    for name in ("max_runs", "missed_max"):
        if name in given:
            if not isinstance(given[name], int) or given[name] < 1:
                raise InvalidField(name, "must be at least 1.")
            columns[name] = given[name]
    for name in ("jitter_s", "catch_up_s"):
        if name in given:
            if not isinstance(given[name], int | float) or given[name] < 0:
                raise InvalidField(name, "must be at least 0.")
            columns[name] = given[name]
    timing = Timing(trigger, columns.get("starts_at"), columns.get("ends_at"))
    if timing.next_after(now) is None:
        raise InvalidField(kinds[0], "has no due time after now.")
    return ParsedTiming(columns, timing)


def _time(value: object, field: str, zone: ZoneInfo) -> datetime:
    when = value if isinstance(value, datetime) else parse_datetime(str(value))
    if when is None:
        raise InvalidField(field, f"{value!r} is not a time.")
    return when.replace(tzinfo=when.tzinfo or zone).astimezone(UTC)
