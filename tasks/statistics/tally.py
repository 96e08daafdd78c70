"""What has ended, counted for the statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connections

from tasks.lifecycle import Status
from tasks.reports import Changed
from tasks.statements import statement
from tasks.statistics.histogram import histogram


@dataclass(slots=True)
class Tally:
    """Ends by status, below zero where tasks have left it; times in seconds."""

    complete: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    waits: Sequence[float] = field(default_factory=list)
    runs: Sequence[float] = field(default_factory=list)
    #: The times may be a sample.
    each_time_stands_for: int = 1

    def __bool__(self) -> bool:
        """Whether there is anything to add."""
        return bool(self.complete or self.failed or self.cancelled or self.retried)

    def parameters(self, source: UUID | None) -> dict[str, Any]:
        """Of tally.sql."""
        return {
            "source": source,
            "complete": self.complete,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "retried": self.retried,
            "wait": histogram(self.waits, self.each_time_stands_for) if self.waits else [],
            "run": histogram(self.runs, self.each_time_stands_for) if self.runs else [],
        }


def tally_of(rescued: Sequence[Changed]) -> Tally:
    """What a rescue, or attempts that failed, add."""
    failed = sum(task.status == Status.FAILED for task in rescued)
    return Tally(failed=failed, retried=len(rescued) - failed)


def add(tally: Tally, using: str, source: UUID | None = None) -> None:
    """Adds what an operation has changed, in the current transaction.

    Under a source of its own, that of the session unless given: nobody waits for a row that
    another transaction has touched.
    """
    if tally:
        with connections[using].cursor() as cursor:
            cursor.execute(statement("tally"), tally.parameters(source))
