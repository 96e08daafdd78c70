"""Format a status as a badge with colour, icon and name, on all pages and on the command line."""

from __future__ import annotations

from typing import NamedTuple

from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.lifecycle import Status


class StatusBadge(NamedTuple):
    """Define the appearance of a status.

    `kind` is the colour token and the icon on pages. `glyph` and `colour` are for terminals.
    """

    kind: str
    glyph: str
    colour: str


_WAITING = StatusBadge("waiting", "‖", "magenta")
_PENDING = StatusBadge("pending", "◷", "yellow")
_RUNNING = StatusBadge("running", "▶", "blue")
_COMPLETE = StatusBadge("complete", "✓", "green")
_FAILED = StatusBadge("failed", "✗", "red")
_CANCELLED = StatusBadge("cancelled", "–", "bright_black")

#: The appearance of each status of tasks, workers, coordinators and bulk operations.
MARKS: dict[str, StatusBadge] = {
    Status.WAITING: _WAITING,
    Status.PENDING: _PENDING,
    Status.PICKED: _RUNNING,
    Status.STARTED: _RUNNING,
    Status.COMPLETE: _COMPLETE,
    Status.FAILED: _FAILED,
    Status.CANCELLED: _CANCELLED,
    "online": _COMPLETE,
    "draining": _PENDING,
    "silent": _PENDING,
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
    "parked": "waiting",
    "cancelled": "cancelled",
    "online": "running",
    "draining": "pending",
    "offline": "failed",
    "operator": "operator",
    "schedule": "operator",
    "folded": "complete",
}


def mark(status: str) -> SafeString:
    """Return the status as HTML: a coloured badge with an icon and the name."""
    return format_html(
        '<span class="mark {}"><svg aria-hidden="true"><use href="{}#{}"/></svg>{}</span>',
        MARKS[status].kind,
        static("taskmaster/marks.svg"),
        MARKS[status].kind,
        status,
    )
