"""What the templates of pages and admin share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks import marks

register = template.Library()

#: More would tell less.
MAX_SLOT_MARKS = 100


@register.filter
def mark(status: str) -> SafeString:
    """A status as a coloured mark."""
    return marks.mark(status)


@register.filter
def ago(when: datetime | None) -> SafeString | str:
    """A moment as a distance from now, with the exact one on hover."""
    if when is None:
        return "–"
    seconds = (timezone.now() - when).total_seconds()
    words = f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    exact = when.astimezone().isoformat(" ", "milliseconds")
    return format_html('<time datetime="{}" title="{}">{}</time>', when.isoformat(), exact, words)


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
    if task.started_at is None and (task.finished_at or task.scheduled_at > timezone.now()):
        return None
    end = task.started_at or timezone.now()
    return max(0.0, float((end - task.scheduled_at).total_seconds()))


@register.filter
def ran(task: Any) -> float | None:
    """Seconds that the newest attempt has run; None before it starts."""
    if task.started_at is None:
        return None
    end = task.finished_at or timezone.now()
    return max(0.0, float((end - task.started_at).total_seconds()))


@register.filter
def slot_marks(worker: Any) -> list[bool]:
    """One entry a slot, busy ones first; of a very wide worker the first hundred."""
    shown = min(worker.slots, MAX_SLOT_MARKS)
    return [index < worker.busy for index in range(shown)]


@register.filter
def thousands(count: int) -> str:
    """1,284 rather than 1284."""
    return f"{count:,}"
