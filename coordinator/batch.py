"""What the flusher gathers, writes in one transaction, and learns from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from proto import taskmaster_pb2 as pb
from tasks.reports import Changed, Chunk, Completion, Failure, Lease, Release, Start, Written
from tasks.statistics.tally import Tally, tally_of

#: Of a large flush only so many times enter the statistics, each for its neighbours too.
_TIMED = 64


@dataclass(slots=True)
class Entry:
    """One worker's update, waiting to be written."""

    update: pb.StatusUpdate
    worker: str
    worker_id: UUID
    received_at: float
    #: Its receipt: the leases of the update that were stale.
    receipt: asyncio.Future[list[Lease]]

    @property
    def size(self) -> int:
        """How many reports it holds."""
        update = self.update
        return len(update.started) + len(update.completed) + len(update.failed) + len(update.output)


#: The kinds of report, in the order in which they are written.
_KINDS = ("chunks", "starts", "completions", "failures", "releases")


@dataclass(slots=True)
class Batch:
    """What one transaction writes."""

    starts: list[Start] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)

    @property
    def statements(self) -> int:
        """How many it takes: one for each kind of report, and one for the statistics of ends."""
        ends = bool(self.completions or self.failures)
        return sum(bool(getattr(self, kind)) for kind in _KINDS) + ends

    def halves(self) -> list[Batch]:
        """Two batches with the same reports in the same order; none when it holds only one."""
        left = sum(len(getattr(self, kind)) for kind in _KINDS) // 2
        if not left:
            return []
        first, second = Batch(), Batch()
        for kind in _KINDS:
            reports = getattr(self, kind)
            setattr(first, kind, reports[:left])
            setattr(second, kind, reports[left:])
            left = max(0, left - len(reports))
        return [first, second]


@dataclass(slots=True)
class Outcome:
    """What a transaction has written."""

    stale: set[Lease] = field(default_factory=set)
    started: list[Written] = field(default_factory=list)
    completed: list[Written] = field(default_factory=list)
    failed: list[Changed] = field(default_factory=list)
    released: list[Changed] = field(default_factory=list)

    def tally(self, completions: Sequence[Completion]) -> Tally:
        """For the statistics."""
        every = len(self.completed) // _TIMED + 1
        gone = tally_of(self.failed)
        return Tally(
            complete=len(self.completed),
            failed=gone.failed,
            retried=gone.retried,
            waits=[row.wait_s for row in self.completed[::every]],
            runs=[each.started_age_s - each.finished_age_s for each in completions[::every]],
            each_time_stands_for=every,
        )
