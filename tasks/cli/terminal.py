"""Format tasks for a terminal or a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TextIO

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.presentation import error_line
from taskmaster.tasks.presentation.direction import show_direction
from taskmaster.tasks.presentation.status_badge import MARKS
from taskmaster.tasks.templatetags.taskmaster import duration, running_s
from taskmaster.tasks.utc_time import in_utc

_ANSI = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "bright_black": 90}
#: Control characters in a task's output, which could control the reader's terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TIMES = (
    "created_at",
    "scheduled_at",
    "picked_at",
    "started_at",
    "completed_at",
    "failed_at",
    "cancelled_at",
)
_HEAD = (
    "ID",
    "STATUS",
    "QUEUE",
    "PRIORITY",
    "ATTEMPT",
    "CREATED",
    "RAN",
    "WORKER",
    "TASK",
    "ERROR",
)
#: Maximum length of an error in the list, in characters. `show` prints all of it.
_ERROR_LENGTH = 100


class TerminalPrinter:
    """Write to a stream. Glyphs and colours appear only if the stream is a terminal."""

    def __init__(self, stream: TextIO, *, coloured: bool) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._coloured = coloured and self._terminal

    def line(self, text: str = "") -> None:
        """Write one line, with the codes of characters that change its direction."""
        self._raw_line(show_direction(text))

    def _raw_line(self, text: str) -> None:
        self._stream.write(f"{text}\n")

    def progress(self, text: str) -> None:
        """Replace the progress line; an empty text clears it. Does nothing without a terminal."""
        if self._terminal:
            self._stream.write(f"\r\x1b[K{show_direction(text)}")
            self._stream.flush()

    def json(self, value: object) -> None:
        """Write indented JSON."""
        self._raw_line(json.dumps(value, indent=2, ensure_ascii=False))

    def mark(self, status: str, width: int = 0) -> str:
        """Return the status, padded to `width`; on a terminal with its glyph and colour."""
        if not self._terminal:
            return status.ljust(width)
        mark = MARKS[status]
        text = f"{mark.glyph} {status}".ljust(width)
        return f"\x1b[{_ANSI[mark.colour]}m{text}\x1b[0m" if self._coloured else text

    def table(self, tasks: Sequence[Task]) -> None:
        """Write a header and one line per task. A shell task shows the start of its command."""
        self.columns(_HEAD, map(_cells, tasks))

    def columns(
        self, head: Sequence[str], rows: Iterable[Sequence[str]], *, marked: bool = True
    ) -> None:
        """Write a header and one line per row, in columns.

        If `marked`, the second column is a status of a task or a worker.
        """
        lines = [head, *([_one_line(cell) for cell in row] for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        if marked and self._terminal:
            # Add the width of the glyph and its space.
            widths[1] += 2
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            if marked and line is not head:
                cells[1] = self.mark(line[1], widths[1])
            self.line("  ".join(cells).rstrip())

    def task(self, task: Task, output: Iterable[TaskOutput], reason: str | None = None) -> None:
        """Write all details of a task; `reason` explains why it is not running."""
        self.line(f"Task {task.pk}  {self.mark(task.status)}")
        if reason:
            # Backticks mark code on pages. In a shell they would run a command.
            self.line("  " + reason.replace("`", "'"))
        self.facts(_facts(task))
        for error in task.errors:
            self._error(error)
        for attempt, chunks in groupby(output, key=lambda chunk: chunk.attempt):
            text = "".join(chunk.text for chunk in chunks)
            self.line(f"\nOutput of attempt {attempt}")
            self._block(text)

    def _error(self, error: Mapping[str, Any]) -> None:
        label = str(error.get("class", "failed")).replace("_", " ")
        detail = error.get("exception") or error.get("code")
        kind = label if detail is None else f"{label} ({detail})"
        worker = error.get("worker") or "no worker"
        self.line(f"\nError of attempt {error.get('attempt', '?')} on {worker}: {kind}")
        self._block(str(error.get("traceback") or error.get("message") or ""))

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write one line per label and value, indented."""
        for name, value in pairs:
            self.line(f"  {name:<10} {_one_line(value)}")

    def _block(self, text: str) -> None:
        text = text.rstrip("\n").replace("\n", "\n  ")
        if self._terminal:
            self.line(f"  {_CONTROL.sub('·', text)}")
        else:
            # A pipe gets the text as it is.
            self._raw_line(f"  {text}")


def _cells(task: Task) -> tuple[str, ...]:
    command = getattr(task, "command", None)
    return (
        str(task.pk),
        task.status,
        task.queue,
        str(task.priority),
        f"{task.attempt}/{task.max_attempts}",
        ago(task.created_at),
        duration(running_s(task)),
        task.worker or "–",
        task.name if command is None else f"{task.name}: {command}",
        _shortened(error_line.of(task)),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _ERROR_LENGTH else f"{text[: _ERROR_LENGTH - 1]}…"


def _one_line(cell: str) -> str:
    return show_direction(_CONTROL.sub("·", cell.replace("\n", " ")))


def _facts(task: Task) -> Iterable[tuple[str, str]]:
    """Yield the label and value of each line that `show` prints."""
    yield "name", task.name
    for field in ("args", "kwargs"):
        if value := getattr(task, field):
            yield field, json.dumps(value, ensure_ascii=False)
    yield "queue", f"{task.queue}, priority {task.priority}"
    if task.tags:
        yield "tags", ", ".join(task.tags)
    limit = f"time-out {task.timeout_s:g} s" if task.timeout_s else "no time-out"
    yield "attempts", f"{task.attempt} of {task.max_attempts}, {limit}"
    if task.worker:
        yield "worker", task.worker
    if task.created_by:
        yield "user", task.created_by.get_username()
    for field in _TIMES:
        if (when := getattr(task, field)) is not None:
            exact = when.astimezone().isoformat(" ", "milliseconds")
            yield field.removesuffix("_at"), f"{exact}  ({ago(when)})"
    if task.started_at:
        yield "ran", duration(running_s(task))
    if task.status == Status.COMPLETE:
        yield "result", json.dumps(task.result, ensure_ascii=False)


def ago(when: datetime) -> str:
    """Return a time relative to now: `3.0 s ago` or `in 3.0 s`."""
    seconds = (datetime.now(UTC) - in_utc(when)).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
