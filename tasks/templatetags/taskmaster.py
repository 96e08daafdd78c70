"""What the templates of pages and admin share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks import marks
from tasks.lifecycle import Status

register = template.Library()

#: More would tell less.
MAX_SLOT_MARKS = 100
#: A sparkline in its own units.
_SPARK_WIDTH, _SPARK_HEIGHT = 94, 28


@register.filter
def mark(status: str) -> SafeString:
    """A status as a coloured mark."""
    return marks.mark(status)


@register.filter
def event_kind(kind: str) -> str:
    """The colour token of an event's kind."""
    return marks.EVENTS.get(kind, "cancelled")


# ---- times ----------------------------------------------------------------------------------
#
# Those with `now` are a moment that the browser counts on from (times.js). With `now` None, as in
# what is pushed to all, they show the clock until the browser does.


@register.filter
def ago(when: datetime | None) -> SafeString | str:
    """A moment as a distance from now, with the exact one on hover."""
    return "–" if when is None else ago_at(when, timezone.now())


@register.simple_tag
def ago_at(when: datetime, now: datetime | None) -> SafeString:
    """How long ago, or in how long."""
    return _moment(when, now, "ago")


@register.simple_tag
def span(since: datetime, now: datetime | None) -> SafeString:
    """How long it lasts by now, or in how long it begins."""
    return _moment(since, now, "span")


@register.simple_tag
def clock(when: datetime) -> SafeString:
    """The time of day to the millisecond, in UTC until the browser shows its own."""
    at = f"{when:%H:%M:%S}.{when.microsecond // 1000:03}"
    return format_html('<time datetime="{}" data-clock>{}</time>', when.isoformat(), at)


def _moment(when: datetime, now: datetime | None, kind: str) -> SafeString:
    if now is None:
        words = f"{when:%H:%M:%S}"
    else:
        seconds = (now - when).total_seconds()
        past = f"{duration(seconds)} ago" if kind == "ago" else duration(seconds)
        words = past if seconds >= 0 else f"in {duration(-seconds)}"
    return format_html(
        '<time datetime="{}" title="{} UTC" data-{}>{}</time>',
        when.isoformat(),
        f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}",
        kind,
        words,
    )


@register.filter
def duration(seconds: float | None) -> str:
    """A span of time in the unit that fits: 3 ms, 4.2 s, 12 min, 3.5 h, 2 days."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


@register.filter
def waited(task: Any) -> float | None:
    """Seconds between the time a task was due and its start, or now; None before it is due."""
    if task.status in _NOT_BEGUN:
        return _positive((timezone.now() - task.scheduled_at).total_seconds())
    if task.started_at is None:
        return None
    return _positive((task.started_at - task.scheduled_at).total_seconds())


@register.filter
def ran(task: Any) -> float | None:
    """Seconds that the newest attempt has run; None while none does."""
    if task.started_at is None or task.status in _NOT_BEGUN:
        return None
    end = task.finished_at or timezone.now()
    return _positive((end - task.started_at).total_seconds())


_NOT_BEGUN = frozenset({Status.WAITING, Status.PENDING, Status.PICKED})


def _positive(seconds: float) -> float | None:
    """None for a span that did not take place: its end lies before its begin."""
    return seconds if seconds >= 0 else None


@register.simple_tag
def wait_of(task: Any, now: datetime | None) -> SafeString | str:
    """How long a task waited, waits, or in how long it is due."""
    if task.status in _NOT_BEGUN:
        return span(task.scheduled_at, now)
    return duration(waited(task))


@register.simple_tag
def run_of(task: Any, now: datetime | None) -> SafeString | str:
    """How long a task ran or runs."""
    if task.status == Status.STARTED and task.started_at is not None:
        return span(task.started_at, now)
    return duration(ran(task))


# ---- texts ------------------------------------------------------------------------------------


@register.filter
def pretty(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.simple_tag
def dotted(name: str) -> SafeString:
    """A dotted path, of which a narrow screen shows the last part alone."""
    head, dot, tail = name.rpartition(".")
    return format_html('<span class="path">{}</span>{}', head + dot, tail)


@register.filter
def is_text(value: Any) -> bool:
    """A command is a script, or a list of arguments."""
    return isinstance(value, str)


@register.filter
def last_line(text: str) -> str:
    """Of a traceback the line that says what was raised."""
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""


# ---- figures --------------------------------------------------------------------------------


@register.filter
def slot_marks(worker: Any) -> list[bool]:
    """One entry a slot, busy ones first; of a very wide worker the first hundred."""
    shown = min(worker.slots, MAX_SLOT_MARKS)
    return [index < worker.busy for index in range(shown)]


@register.filter
def tasks(count: int) -> str:
    """1 task, 1,284 tasks."""
    return f"{count:,} task{'' if count == 1 else 's'}"


@register.filter
def thousands(count: int) -> str:
    """1,284 rather than 1284."""
    return f"{count:,}"


@register.filter
def rate(value: float) -> str:
    """As many digits as tell something: 412, 3.4, 0.02."""
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


@register.simple_tag
def portion(part: int, whole: int) -> str:
    """A part in percent of the whole, for the length of a bar."""
    return f"{100 * part / whole:.1f}"


@register.simple_tag
def spark(values: Sequence[float], label: str) -> SafeString:
    """A small line, lowest value 0; `label` says what it is."""
    most = max(values, default=0) or 1
    step = _SPARK_WIDTH / max(1, len(values) - 1)
    room = _SPARK_HEIGHT - 4
    points = " ".join(
        f"{index * step:.1f},{_SPARK_HEIGHT - 2 - room * value / most:.1f}"
        for index, value in enumerate(values)
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
        '<polyline points="{}"/></svg>',
        _SPARK_WIDTH, _SPARK_HEIGHT, label, label, points,
    )  # fmt: skip
