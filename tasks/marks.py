"""How a status is shown, everywhere the same: colour, icon and word."""

from __future__ import annotations

from typing import NamedTuple

from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks.lifecycle import Status


class Mark(NamedTuple):
    """`kind` names the colour token and the icon; `glyph` and `colour` serve a terminal."""

    kind: str
    glyph: str
    colour: str


_PENDING = Mark("pending", "◷", "yellow")
_RUNNING = Mark("running", "▶", "blue")
_COMPLETE = Mark("complete", "✓", "green")
_FAILED = Mark("failed", "✗", "red")
_CANCELLED = Mark("cancelled", "–", "bright_black")

#: Of tasks, of workers and coordinators, and of operations.
MARKS: dict[str, Mark] = {
    Status.WAITING: _PENDING,
    Status.PENDING: _PENDING,
    Status.PICKED: _RUNNING,
    Status.STARTED: _RUNNING,
    Status.COMPLETE: _COMPLETE,
    Status.FAILED: _FAILED,
    Status.CANCELLED: _CANCELLED,
    "online": _COMPLETE,
    "draining": _PENDING,
    "offline": _CANCELLED,
    "preview": _PENDING,
    "queued": _PENDING,
    "running": _RUNNING,
}

#: The colour token of each kind of event.
EVENTS: dict[str, str] = {
    "submitted": "pending",
    "picked": "running",
    "started": "running",
    "complete": "complete",
    "failed": "failed",
    "retried": "pending",
    "rescued": "pending",
    "released": "pending",
    "cancelled": "cancelled",
    "online": "running",
    "draining": "pending",
    "offline": "failed",
    "operator": "operator",
    "folded": "complete",
}


def mark(status: str) -> SafeString:
    """The status as HTML: a coloured pill with icon and word."""
    return format_html(
        '<span class="mark {}"><svg aria-hidden="true"><use href="{}#{}"/></svg>{}</span>',
        MARKS[status].kind,
        static("taskmaster/marks.svg"),
        MARKS[status].kind,
        status,
    )
