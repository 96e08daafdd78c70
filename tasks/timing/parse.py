"""Validate when a schedule is due, and its rules for clock changes, missed runs and overlaps.

Every interface and every declaration in code uses `parse_timing`. It reads no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from django.conf import settings as django_settings

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import json_type
from taskmaster.tasks.timing.cron_errors import cron_expression
from taskmaster.tasks.timing.local_time import local_time
from taskmaster.tasks.timing.rules import (
    CATCH_UP_S,
    HORIZON,
    MAX_CATCH_UP_S,
    MAX_DATES,
    MAX_JITTER_S,
    MAX_MISSED,
    MAX_RUNS,
    MISSED_AFTER_S,
    MISSED_MAX,
    MissedPolicy,
    OverlapPolicy,
    RepeatedTime,
    SkippedTime,
    TriggerKind,
)
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import (
    CronTrigger,
    DatesTrigger,
    DueTime,
    IntervalTrigger,
    Trigger,
)
from taskmaster.tasks.timing.values import (
    choice,
    point_in_time,
    seconds,
    shown_seconds,
    shown_time,
    whole_number,
)
from taskmaster.tasks.timing.zones import zone_of

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
#: A Monday, so that an interval of a week is due on Mondays. The default does not depend on the
#: time of the declaration, so every process that reads a declaration computes the same.
DEFAULT_ANCHOR = datetime(2024, 1, 1)
#: Number of due times whose distances limit the jitter.
_COMPARED = 500


@dataclass(frozen=True)
class ParsedTiming:
    """Hold valid timing: the columns of `Schedule` by name, the timing, and the first due time."""

    trigger: TriggerKind
    cron: str
    interval_s: float | None
    anchor: datetime | None
    dates: tuple[datetime, ...]
    timezone: str
    skipped_time: SkippedTime
    repeated_time: RepeatedTime
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    jitter_s: float
    missed: MissedPolicy
    missed_max: int
    catch_up_s: float
    overlap: OverlapPolicy

    timing: Timing
    first: DueTime

    def columns(self) -> dict[str, object]:
        """Return the columns of `Schedule`."""
        names = [each.name for each in fields(self) if each.name not in ("timing", "first")]
        columns = {name: getattr(self, name) for name in names}
        return columns | {"dates": list(self.dates)}


def parse_timing(values: Mapping[str, object], now: datetime) -> ParsedTiming:
    """Validate the fields of `TIMING_FIELDS`. A value of None means not given.

    Other fields are ignored. Raise InvalidField for the first wrong field, also if no run is due
    within five years after `now`.
    """
    given = {name: values[name] for name in TIMING_FIELDS if values.get(name) is not None}
    kind = _kind(given)
    zone = zone_of(given.get("timezone", django_settings.TIME_ZONE))
    skipped = choice(given.get("skipped_time", "cron"), "skipped_time", SkippedTime)
    repeated = choice(given.get("repeated_time", "cron"), "repeated_time", RepeatedTime)
    starts_at, ends_at = (
        point_in_time(given[name], name, zone, now) if name in given else None
        for name in ("starts_at", "ends_at")
    )
    _check_range(starts_at, ends_at, zone, now)
    trigger: Trigger
    match kind:
        case TriggerKind.CRON:
            trigger = CronTrigger(cron_expression(given["cron"]), zone, skipped, repeated)
        case TriggerKind.INTERVAL:
            trigger = _interval(given, zone, starts_at, now)
        case TriggerKind.DATES:
            trigger = DatesTrigger(_dates(given["dates"], zone, now), zone)
    max_runs = None
    if "max_runs" in given:
        max_runs = whole_number(given["max_runs"], "max_runs", 1, MAX_RUNS)
    timing = Timing(trigger, starts_at, ends_at)
    first = _first(timing, now)
    return ParsedTiming(
        trigger=kind,
        cron=trigger.expression if isinstance(trigger, CronTrigger) else "",
        interval_s=(
            trigger.every.total_seconds() if isinstance(trigger, IntervalTrigger) else None
        ),
        anchor=trigger.anchor if isinstance(trigger, IntervalTrigger) else None,
        dates=trigger.dates if isinstance(trigger, DatesTrigger) else (),
        timezone=zone.key,
        skipped_time=skipped,
        repeated_time=repeated,
        starts_at=starts_at,
        ends_at=ends_at,
        max_runs=max_runs,
        jitter_s=_jitter(given.get("jitter_s", 0), timing, now),
        missed=choice(given.get("missed", "latest"), "missed", MissedPolicy),
        missed_max=whole_number(given.get("missed_max", MISSED_MAX), "missed_max", 1, MAX_MISSED),
        catch_up_s=seconds(
            given.get("catch_up_s", CATCH_UP_S),
            "catch_up_s",
            MISSED_AFTER_S,
            MAX_CATCH_UP_S,
            " A run is missed after 60 seconds. To make up none, use missed: skip.",
        ),
        overlap=choice(given.get("overlap", "allow"), "overlap", OverlapPolicy),
        timing=timing,
        first=first,
    )


def _kind(given: Mapping[str, object]) -> TriggerKind:
    """Return the only trigger that is given. A form sends empty values for the others."""
    names = [name for name in TRIGGER_FIELDS if name in given]
    filled = [name for name in names if given[name] not in ("", [], ())]
    names = filled or names[:1]
    if not names:
        raise InvalidField("cron", "is required; give one of cron, interval_s and dates.")
    if len(names) > 1:
        raise InvalidField(names[1], f"cannot be combined with {names[0]}; give one of them.")
    if "anchor" in given and names != ["interval_s"]:
        raise InvalidField("anchor", f"belongs to interval_s; {names[0]} has none.")
    return TriggerKind({"interval_s": "interval"}.get(names[0], names[0]))


def _check_range(
    starts_at: datetime | None, ends_at: datetime | None, zone: ZoneInfo, now: datetime
) -> None:
    if ends_at is None:
        return
    end = shown_time(ends_at, zone)
    if starts_at is not None and ends_at < starts_at:
        start = shown_time(starts_at, zone)
        raise InvalidField("ends_at", f"is {end}; it must not be before starts_at, {start}.")
    if ends_at < now:
        raise InvalidField("ends_at", f"is {end}; it must be in the future.")


def _interval(
    given: Mapping[str, object], zone: ZoneInfo, starts_at: datetime | None, now: datetime
) -> IntervalTrigger:
    """Without an anchor, the interval counts from the start, or else from the default anchor."""
    every = timedelta(
        seconds=seconds(given["interval_s"], "interval_s", 1, HORIZON // timedelta(seconds=1))
    )
    anchor = given.get("anchor", starts_at or DEFAULT_ANCHOR)
    return IntervalTrigger(every, point_in_time(anchor, "anchor", zone, now), zone)


def _dates(value: object, zone: ZoneInfo, now: datetime) -> tuple[datetime, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidField("dates", f"must be a list of times, not {json_type(value)}.")
    if not value:
        raise InvalidField("dates", "must contain at least one time.")
    if len(value) > MAX_DATES:
        raise InvalidField("dates", f"has {len(value):,} dates; the limit is {MAX_DATES:,}.")
    positions: dict[datetime, int] = {}
    for index, each in enumerate(value):
        field = f"dates[{index}]"
        at = point_in_time(each, field, zone, now)
        if at in positions:
            raise InvalidField(field, f"is {each}, the same instant as dates[{positions[at]}].")
        positions[at] = index
    return tuple(sorted(positions))


def _first(timing: Timing, now: datetime) -> DueTime:
    """Return the first due time. Raise InvalidField if it is not within five years."""
    first, trigger = timing.next_after(now), timing.trigger
    if first is not None and first.at <= now + HORIZON:
        return first
    later = first or Timing(trigger, timing.starts_at).next_after(now)
    due = f" The first run would be due at {shown_time(later.at, trigger.zone)}." if later else ""
    if first is None and later is not None and timing.ends_at is not None:
        end = shown_time(timing.ends_at, trigger.zone)
        raise InvalidField("ends_at", f"is {end}, before the first run.{due}")
    if timing.starts_at is not None and timing.starts_at > now + HORIZON:
        start = shown_time(timing.starts_at, trigger.zone)
        raise InvalidField("starts_at", f"is {start}, more than five years in the future.")
    if isinstance(trigger, DatesTrigger):
        since = " after starts_at" if timing.starts_at else ""
        raise InvalidField("dates", f"has no date in the next five years{since}.{due}")
    field = "cron" if isinstance(trigger, CronTrigger) else "interval_s"
    raise InvalidField(field, f"has no run in the next five years.{due}")


def _jitter(value: object, timing: Timing, now: datetime) -> float:
    """Validate the jitter. Above the shortest time between two runs, runs would change places."""
    jitter_s = seconds(value, "jitter_s", 0, MAX_JITTER_S)
    shortest = _shortest_distance(timing.trigger, now) if jitter_s else None
    if shortest is not None and timedelta(seconds=jitter_s) > shortest:
        raise InvalidField(
            "jitter_s",
            f"is {jitter_s:g}; it must not exceed the shortest time between two runs, "
            f"{shown_seconds(shortest)} seconds.",
        )
    return jitter_s


def _shortest_distance(trigger: Trigger, now: datetime) -> timedelta | None:
    """Return the shortest time between two runs. Changes of the clocks do not count."""
    match trigger:
        case IntervalTrigger():
            return trigger.every
        case DatesTrigger():
            times: Iterable[datetime] = trigger.dates
        case CronTrigger():
            start = local_time(now, trigger.zone)
            found = islice(trigger.local_times(start), _COMPARED)
            times = takewhile(lambda local: local < start + HORIZON, found)
    return min((later - earlier for earlier, later in pairwise(times)), default=None)
