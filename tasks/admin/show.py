"""How the parts of a task are shown on its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from tasks.attempts import ended
from tasks.models import Task
from tasks.templatetags.taskmaster import ago

#: What of a task's output its page shows; the whole is at /api/tasks/<id>/output/?plain=1.
MAX_OUTPUT = 262_144


def moment(field: str) -> Callable[[Any, Model], SafeString | str]:
    """A column of the admin: how long ago, with the exact time on hover."""

    @admin.display(description=field.removesuffix("_at").replace("_", " "))
    def column(_: object, row: Model) -> SafeString | str:
        return ago(getattr(row, field))

    return column


def as_json(value: Any) -> SafeString:
    """Indented JSON."""
    return format_html(
        '<pre class="json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False)
    )


def errors(task: Task) -> SafeString | str:
    """One block for each attempt that failed."""
    if not task.errors:
        return "None."
    return format_html_join("", "{}", ((_error(entry),) for entry in task.errors))


def _error(entry: dict[str, Any]) -> SafeString:
    head = format_html(
        "<p><strong>Attempt {}</strong> on {}, {}: {}</p>",
        entry.get("attempt", "?"),
        entry.get("worker") or "no worker",
        entry.get("at", ""),
        ended(entry),
    )
    details = entry.get("traceback") or entry.get("message") or ""
    return format_html(
        '<div class="attempt-error">{}<pre class="output">{}</pre></div>', head, details
    )


def output(task: Task) -> SafeString | str:
    """What each attempt printed, in order, up to a limit that says that it was reached."""
    blocks, room = [], MAX_OUTPUT
    chunks = task.output.order_by("lease", "seq").iterator(chunk_size=200)
    for attempt, group in groupby(chunks, key=lambda chunk: chunk.attempt):
        pieces = []
        for chunk in group:
            if room <= 0:
                pieces.append(("log", "\n… the rest is in the API's output.\n"))
                break
            pieces.append((chunk.stream, chunk.text[:room]))
            room -= len(chunk.text)
        body = format_html_join("", '<span class="{}">{}</span>', pieces)
        blocks.append((attempt, body))
        if room <= 0:
            break
    if not blocks:
        return "None."
    return format_html_join(
        "",
        '<div class="attempt-error"><p><strong>Attempt {}</strong></p>'
        '<pre class="output">{}</pre></div>',
        blocks,
    )
