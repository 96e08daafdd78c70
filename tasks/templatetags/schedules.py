"""Provide the template tags and filters of the pages of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

from django import template
from django.templatetags.static import static
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.models import Schedule
from taskmaster.tasks.queries import schedule_reason
from taskmaster.tasks.queries.schedule_runs import ShownRun, summary
from taskmaster.tasks.queries.schedules import ScheduleState
from taskmaster.tasks.queries.timeline import precise
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.timing.words import describe
from taskmaster.tasks.timing.zones import zone_of

register = template.Library()

#: Colour token and icon of each state.
_STATES = {
    ScheduleState.ON_TIME: ("complete", "complete"),
    ScheduleState.RUNNING: ("running", "running"),
    ScheduleState.LATE: ("pending", "attention"),
    ScheduleState.FAILED: ("failed", "failed"),
    ScheduleState.PAUSED: ("operator", "pause"),
    ScheduleState.ENDED: ("cancelled", "cancelled"),
}
#: Height of a bar by its class: height and colour say the same. The height of all is 22.
_HEIGHTS = {"complete": 13.0, "failed": 20.0, "running": 17.0, "cancelled": 10.0, "pending": 8.0}
#: A start that is later than this number of seconds is noted.
_LATE_S = 1.0
#: A day further away than this is shown with its year.
_YEAR_AFTER = timedelta(days=300)
_STEP, _WIDTH, _HEIGHT, _PLACES = 6, 4.6, 22, 30


@register.filter
def schedule_mark(state: str) -> SafeString:
    """Return the state of a schedule as a coloured badge."""
    return badge(*_STATES[ScheduleState(state)], state)


@register.filter
def run_mark(run: ShownRun) -> SafeString:
    """Return the outcome of a run as a coloured badge."""
    return badge(run.kind, run.icon, run.word)


@register.simple_tag
def badge(kind: str, icon: str, word: str) -> SafeString:
    """Return a badge with a colour, an icon and a word."""
    return format_html(
        '<span class="mark {}"><svg aria-hidden="true"><use href="{}#{}"/></svg>{}</span>',
        kind, static("taskmaster/marks.svg"), icon, word,
    )  # fmt: skip


@register.filter
def in_words(schedule: Schedule) -> str:
    """Return when the schedule is due in words: `every day at 02:30`."""
    return describe(timing_of(schedule))


@register.filter
def outcome_words(runs: Sequence[ShownRun]) -> str:
    """Return the counts of outcomes: `29 complete, 1 failed`."""
    return summary(runs)


@register.simple_tag
def outcome_bars(runs: Sequence[ShownRun]) -> SafeString:
    """Return the last outcomes as bars, the newest at the right."""
    first = _PLACES - len(runs)
    # The title is the only text of others. A page has 1,500 bars: escaping each value takes long.
    bars = SafeString(
        "".join(
            f"<rect {_bar(run.bar, first + index)}><title>{escape(_title(run))}</title></rect>"
            for index, run in enumerate(runs)
        )
    )
    return format_html(
        '<svg class="outcomes" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        _STEP * _PLACES, _HEIGHT, summary(runs) or "no run yet", bars,
    )  # fmt: skip


@cache
def _bar(kind: str, place: int) -> str:
    """Return the attributes of a bar. A run that did not happen is hollow."""
    if kind == "none":
        return f'class="none" x="{_STEP * place + 0.7:g}" y="16" width="3.6" height="4.5"'
    height = _HEIGHTS.get(kind, 8.0)
    x, y = _STEP * place, _HEIGHT - height
    return f'class="{kind}" x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{height}"'


def _title(run: ShownRun) -> str:
    at = f"{run.row.due_at:%Y-%m-%d %H:%M} UTC: {run.word}"
    return f"{at}. {run.row.reason}" if run.row.reason and not run.ran else at


@register.simple_tag
def local(when: datetime, zone: str, form: str = "") -> SafeString:
    """Return a time in a zone: `Wed 17 Mar 02:30`, with the exact time on hover.

    Without a form it has seconds if there are any.
    """
    form = form or f"%a %d %b %H:%M{':%S' if when.second else ''}"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        when.isoformat(),
        f"{when:%Y-%m-%d %H:%M:%S}",
        f"{when.astimezone(zone_of(zone)):{form}}",
    )


@register.simple_tag
def local_text(when: datetime, zone: str) -> str:
    """Return a time in a zone as text: `Wed 17 Mar 2027 02:30`."""
    return schedule_reason.local_text(when, zone)


@register.simple_tag
def run_note(run: ShownRun) -> str:
    """Return the reason of a run, and how late its task started."""
    notes = [run.row.reason] if run.row.reason else []
    if run.late_s is not None and run.late_s >= _LATE_S:
        notes.append(f"Started {precise(run.late_s)} late.")
    return " ".join(notes)


@register.filter
def clock_of(when: datetime) -> str:
    """Return the time of day as it is, with seconds if there are any. `date` would convert it."""
    return f"{when:%H:%M:%S}" if when.second else f"{when:%H:%M}"


@register.filter
def day_of(local: datetime, now: datetime) -> str:
    """Return the day of a local time: `Sun 28 Mar`, with the year if it is far from `now`."""
    text = f"{local:%a} {local.day} {local:%b}"
    is_far = abs(local.replace(tzinfo=now.tzinfo) - now) > _YEAR_AFTER
    return f"{text} {local.year}" if is_far else text
