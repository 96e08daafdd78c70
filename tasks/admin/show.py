"""Render the values of a task for its admin page."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from taskmaster.tasks.models import Task
from taskmaster.tasks.presentation.json_view import indented
from taskmaster.tasks.queries.timeline import describe_failure
from taskmaster.tasks.templatetags.taskmaster import ago

#: Maximum output shown on a task's page, in characters. /api/tasks/<id>/output/?plain=1 has all.
MAX_OUTPUT = 262_144

#: Style sheets of every list and form, so that badges and output have the same style in any admin.
STYLES = ("taskmaster/tokens.css", "taskmaster/records.css")


def moment(field: str) -> Callable[[Any, Model], SafeString | str]:
    """Return an admin column that shows the age of a time, with the exact time on hover."""

    @admin.display(description=field.removesuffix("_at").replace("_", " "))
    def column(_: object, row: Model) -> SafeString | str:
        return ago(getattr(row, field))

    return column


def as_json(value: Any) -> SafeString:
    """Render JSON for people."""
    return format_html('<pre class="json">{}</pre>', indented(value))


def errors(task: Task) -> SafeString | str:
    """Render one block per failed attempt."""
    if not task.errors:
        return "None."
    return format_html_join("", "{}", ((_error(entry),) for entry in task.errors))


def _error(entry: dict[str, Any]) -> SafeString:
    head = format_html(
        "<p><strong>Attempt {}</strong> on {}, {}: {}</p>",
        entry.get("attempt", "?"),
        entry.get("worker") or "no worker",
        entry.get("at", ""),
        describe_failure(entry),
    )
    details = entry.get("traceback") or entry.get("message") or ""
    return format_html(
        '<div class="attempt-error">{}<pre class="output">{}</pre></div>', head, details
    )


def output(task: Task) -> SafeString | str:
    """Render the output of each attempt in order, up to `MAX_OUTPUT`, with a note if cut."""
    blocks, remaining = [], MAX_OUTPUT
    chunks = task.output.order_by("lease", "seq").iterator(chunk_size=200)
    for attempt, group in groupby(chunks, key=lambda chunk: chunk.attempt):
        pieces = []
        for chunk in group:
            if remaining <= 0:
                pieces.append(("log", "\n… truncated; the API returns the complete output.\n"))
                break
            pieces.append((chunk.stream, chunk.text[:remaining]))
            remaining -= len(chunk.text)
        body = format_html_join("", '<span class="{}">{}</span>', pieces)
        blocks.append((attempt, body))
        if remaining <= 0:
            break
    if not blocks:
        return "None."
    return format_html_join(
        "",
        '<div class="attempt-error"><p><strong>Attempt {}</strong></p>'
        '<pre class="output">{}</pre></div>',
        blocks,
    )
