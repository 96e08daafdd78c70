"""Provide the template tags and filters of a task's page."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.queries import timeline
from taskmaster.tasks.queries.timeline import Timeline

register = template.Library()

#: A shorter axis shows milliseconds, a longer one the date.
_SHORT_S, _DAY_S = 10.0, 86_400.0
#: Names and classes of the sums below a timeline, in the order of `Timeline.totals`.
_SUMS = (("not due", "dots"), ("waiting", "dot hollow"), ("running", "dot running"))


@register.filter
def precise(seconds: float) -> str:
    """Return a duration with its two largest units."""
    return timeline.precise(seconds)


@register.filter
def sums(drawn: Timeline) -> list[tuple[str, str, float]]:
    """Return name, class and seconds of each sum that is not zero."""
    found = zip(_SUMS, drawn.totals, strict=True)
    return [(name, style, seconds) for (name, style), seconds in found if seconds > 0]


@register.simple_tag
def axis_time(when: datetime, length_s: float) -> SafeString:
    """Return a time for an axis of this length. The browser shows it as local time."""
    kind, text = "s", f"{when:%H:%M:%S}"
    if length_s >= _DAY_S:
        kind, text = "day", f"{when:%d %b %H:%M}"
    elif length_s < _SHORT_S:
        kind, text = "", f"{text}.{when.microsecond // 1000:03}"
    return format_html(
        '<time datetime="{}" data-clock="{}">{}</time>', when.isoformat(), kind, text
    )


@register.simple_tag
def icon(kind: str) -> SafeString:
    """Return the icon of a state. A gate that is not checked has a dash."""
    name = "cancelled" if kind == "later" else kind
    return format_html(
        '<svg aria-hidden="true"><use href="{}#{}"/></svg>', static("taskmaster/marks.svg"), name
    )
