"""Measure the stored output of a task's attempts, and find what was cut in the middle."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS

from taskmaster.tasks.models import Task
from taskmaster.tasks.store import sync_store as store

_MARK = re.compile(r"\n… (\d{1,3}(?:,\d{3})*) bytes cut …\n")
#: A worker keeps as much of the start as of the end, give or take one character of UTF-8 each.
_BALANCE_MAX = 8


@dataclass(frozen=True, slots=True)
class OutputSize:
    """Hold the sizes of an attempt's output in bytes: the stored start and end, and the gap."""

    attempt: int
    head: int
    tail: int
    cut: int

    @property
    def stored(self) -> int:
        """Return the stored bytes."""
        return self.head + self.tail

    @property
    def printed(self) -> int:
        """Return the bytes that the attempt has printed."""
        return self.stored + self.cut


def output_sizes(task: Task) -> list[OutputSize]:
    """Return the sizes of all attempts that printed something, oldest first."""
    using = task._state.db or DEFAULT_DB_ALIAS
    found: dict[int, OutputSize] = {}
    for attempt, head, tail, mark in store.measure_output(task.pk, using=using):
        before = found.get(attempt, OutputSize(attempt, 0, 0, 0))
        cut = _cut(head, tail, mark)
        found[attempt] = OutputSize(
            attempt,
            before.head + head + (0 if cut else len(mark.encode()) + tail),
            before.tail + (tail if cut else 0),
            before.cut + cut,
        )
    return list(found.values())


def _cut(head: int, tail: int, mark: str) -> int:
    """Return the bytes that were cut. A task that prints such a line itself has cut nothing."""
    match = _MARK.fullmatch(mark)
    if match is None or not head or abs(head - tail) > _BALANCE_MAX:
        return 0
    return int(match[1].replace(",", ""))
