"""Show the error of a task in one line, on pages, in REST and on the command line.

PostgreSQL computes the line when an attempt fails (migration 0003): `ValueError: first line`.
"""

from __future__ import annotations

import re
from typing import Protocol

from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.presentation.direction import show_direction

#: Statuses whose rows show no error: a later attempt is running or has completed.
_WITHOUT_ERROR = frozenset({Status.STARTED, Status.COMPLETE})
#: Classes of errors that are not exceptions. See `EXIT_CLASS` in coordinator/reports/wire.py.
_KINDS = ("timeout", "signal", "out of memory", "cancelled", "lost")
_CLASS = re.compile(rf"({'|'.join(_KINDS)}|[\w.<>]+)(?:: |$)")


class TaskWithError(Protocol):
    """Define what this module reads of a task."""

    status: str
    error: str | None


def of(task: TaskWithError) -> str:
    """Return the error of the newest failed attempt; empty if the task runs or is complete."""
    return "" if task.status in _WITHOUT_ERROR else task.error or ""


def cell(task: TaskWithError) -> SafeString:
    """Return the error as HTML: the class without its modules, and the message."""
    line = show_direction(of(task))
    if not line:
        return SafeString("")
    found = _CLASS.match(line)
    if found is None:
        return format_html('<span class="error-cell"><span>{}</span></span>', line)
    kind = found[1].rpartition(".")[2]
    return format_html(
        '<span class="error-cell"><code>{}</code><span>{}</span></span>', kind, line[found.end() :]
    )
