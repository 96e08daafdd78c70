"""Provide template tags and filters for pages and admin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.presentation import error_line, status_badge
from taskmaster.tasks.presentation.direction import show_direction
from taskmaster.tasks.utc_time import in_utc

register = template.Library()

#: Maximum number of slot marks of one worker. More marks are not readable.
MAX_SLOT_MARKS = 100
#: Width and height of a sparkline in SVG units.
_SPARK_WIDTH, _SPARK_HEIGHT = 94, 28


@register.filter
def mark(status: str) -> SafeString:
    """Return a status as a coloured badge."""
    return status_badge.mark(status)


@register.filter
def event_kind(kind: str) -> str:
    """Return the colour token of an event kind."""
    return status_badge.EVENTS.get(kind, "cancelled")


# ---- times ----------------------------------------------------------------------------------
#
# Tags with `now` render a time that the browser keeps up to date (times.js). Fragments that are
# pushed to all readers use None for `now`. They show the time of day until the browser updates it.


@register.filter
def ago(when: datetime | None) -> SafeString | str:
    """Return a time relative to now, with the exact time on hover."""
    return "–" if when is None else ago_at(when, timezone.now())


@register.simple_tag
def ago_at(when: datetime, now: datetime | None) -> SafeString:
    """Return a time relative to `now`: `3 s ago` or `in 3 s`."""
    return _moment(when, now, "ago")


@register.simple_tag
def span(since: datetime, now: datetime | None) -> SafeString:
    """Return the time since `since`, or until it: `3 s` or `in 3 s`."""
    return _moment(since, now, "span")


@register.simple_tag
def clock(when: datetime) -> SafeString:
    """Return the time of day in milliseconds. It is UTC until the browser shows local time."""
    when = in_utc(when)
    at = f"{when:%H:%M:%S}.{when.microsecond // 1000:03}"
    return format_html('<time datetime="{}" data-clock>{}</time>', when.isoformat(), at)


def _moment(when: datetime, now: datetime | None, kind: str) -> SafeString:
    when = in_utc(when)
    if now is None:
        text = f"{when:%H:%M:%S}"
    else:
        seconds = (in_utc(now) - when).total_seconds()
        past = f"{duration(seconds)} ago" if kind == "ago" else duration(seconds)
        text = past if seconds >= 0 else f"in {duration(-seconds)}"
    return format_html(
        '<time datetime="{}" title="{} UTC" data-{}>{}</time>',
        when.isoformat(),
        f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}",
        kind,
        text,
    )


def duration(seconds: float | None) -> str:
    """Return a duration in a suitable unit: 3 ms, 4.2 s, 12 min, 3.5 h, 2 days."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        # Whole minutes that have passed, as in times.js.
        return f"{seconds // 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


def waiting_s(task: Any) -> float | None:
    """Return the seconds from the due time to the start, or to now if the task has not started.

    Return None if the result is negative, such as before the due time. Return None also for a task
    that ended without a start.
    """
    if task.status in _NOT_STARTED:
        return _unless_negative((timezone.now() - task.scheduled_at).total_seconds())
    if task.started_at is None:
        return None
    return _unless_negative((task.started_at - task.scheduled_at).total_seconds())


def running_s(task: Any) -> float | None:
    """Return the run time of the newest attempt in seconds, or None if the task has not started."""
    if task.started_at is None or task.status in _NOT_STARTED:
        return None
    end = task.finished_at or timezone.now()
    return _unless_negative((end - task.started_at).total_seconds())


_NOT_STARTED = frozenset({Status.WAITING, Status.PENDING, Status.PICKED})


def _unless_negative(seconds: float) -> float | None:
    """Return `seconds`, or None if it is negative: the end is before the start."""
    return seconds if seconds >= 0 else None


@register.simple_tag
def wait_of(task: Any, now: datetime | None) -> SafeString | str:
    """Return the waiting time of a task, or the time until it is due."""
    if task.status in _NOT_STARTED:
        return span(task.scheduled_at, now)
    return duration(waiting_s(task))


@register.simple_tag
def run_of(task: Any, now: datetime | None) -> SafeString | str:
    """Return the run time of a task."""
    if task.status == Status.STARTED and task.started_at is not None:
        return span(task.started_at, now)
    return duration(running_s(task))


# ---- texts ------------------------------------------------------------------------------------


@register.simple_tag
def error_text(task: Any) -> str:
    """Return the error of a task in one line."""
    return show_direction(error_line.of(task))


@register.simple_tag
def error_cell(task: Any) -> SafeString:
    """Return the error of a task for a table: the class, and the first line of the message."""
    return error_line.cell(task)


@register.simple_tag
def dotted(name: str) -> SafeString:
    """Return a dotted path as HTML. Narrow screens show only its last part."""
    head, dot, tail = show_direction(name).rpartition(".")
    return format_html('<span class="path">{}</span>{}', head + dot, tail)


@register.filter
def shown(text: object) -> str:
    """Return the text with the codes of characters that change its direction."""
    return show_direction(str(text))


@register.filter
def is_text(value: Any) -> bool:
    """Return whether a shell command is a script (text) and not a list of arguments."""
    return isinstance(value, str)


# ---- figures --------------------------------------------------------------------------------


@register.filter
def slot_marks(worker: Any) -> list[bool]:
    """Return one entry for each slot, True for busy ones, which come first. The maximum is 100."""
    shown = min(worker.slots, MAX_SLOT_MARKS)
    return [index < worker.busy for index in range(shown)]


@register.filter
def tasks(count: int) -> str:
    """Format a number of tasks: `1 task`, `1,284 tasks`."""
    return f"{count:,} task{'' if count == 1 else 's'}"


@register.filter
def thousands(count: int) -> str:
    """Format a number with thousands separators: `1,284`."""
    return f"{count:,}"


@register.filter
def rate(value: float) -> str:
    """Format a rate with the significant digits only: `412`, `3.4`, `0.02`."""
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


@register.simple_tag
def portion(part: int, whole: int) -> str:
    """Return `part` in percent of `whole`, for the length of a bar."""
    return f"{100 * part / whole:.1f}"


@register.simple_tag
def spark(values: Sequence[float], label: str) -> SafeString:
    """Return a sparkline as SVG. Its scale starts at 0, and `label` is its title."""
    most = max(values, default=0) or 1
    step = _SPARK_WIDTH / max(1, len(values) - 1)
    height = _SPARK_HEIGHT - 4
    points = " ".join(
        f"{index * step:.1f},{_SPARK_HEIGHT - 2 - height * value / most:.1f}"
        for index, value in enumerate(values)
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
        '<polyline points="{}"/></svg>',
        _SPARK_WIDTH, _SPARK_HEIGHT, label, label, points,
    )  # fmt: skip
