"""Define the reports that the flusher gathers, the batch that it writes, and the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.messages import (
    Completion,
    EndedTasks,
    Failure,
    Lease,
    OutputChunk,
    RecordedAttempt,
    Release,
    Start,
    TaskChange,
    count_failures,
)
from taskmaster.tasks.statistics.histogram import histogram

#: Most durations of one flush that enter the statistics. In a larger flush each sampled duration
#: also stands for its neighbours.
_SAMPLES_MAX = 64
#: The kinds of report, in the order in which they are written.
_KINDS = ("chunks", "starts", "completions", "failures", "releases")


@dataclass(slots=True)
class ReportEntry:
    """Hold one update of a worker that waits to be written."""

    update: pb.StatusUpdate
    worker: str
    worker_id: UUID
    #: Time of arrival, on the monotonic clock.
    received_at: float
    #: Resolved when the update is durable. The result is the list of its stale leases.
    acknowledged: asyncio.Future[list[Lease]]

    @property
    def size(self) -> int:
        """Return the number of reports in the update, without hand-backs."""
        update = self.update
        return len(update.started) + len(update.completed) + len(update.failed) + len(update.output)


@dataclass(slots=True)
class ReportBatch:
    """Hold the reports that one transaction writes."""

    starts: list[Start] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    chunks: list[OutputChunk] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)

    @property
    def statement_count(self) -> int:
        """Return the number of SQL statements that the batch needs.

        It is one for each kind of report, and one for the statistics if executions ended.
        """
        ends = bool(self.completions or self.failures)
        return sum(bool(getattr(self, kind)) for kind in _KINDS) + ends

    def split(self) -> list[ReportBatch]:
        """Split the batch into two with the same reports in the same order.

        Return an empty list if the batch holds at most one report.
        """
        left = sum(len(getattr(self, kind)) for kind in _KINDS) // 2
        if not left:
            return []
        first, second = ReportBatch(), ReportBatch()
        for kind in _KINDS:
            reports = getattr(self, kind)
            setattr(first, kind, reports[:left])
            setattr(second, kind, reports[left:])
            left = max(0, left - len(reports))
        return [first, second]


@dataclass(slots=True)
class BatchOutcome:
    """Collect the rows that a transaction has written, and the leases that it found stale."""

    stale: set[Lease] = field(default_factory=set)
    #: Lease and size in bytes of each stored chunk of output.
    stored_output: list[tuple[Lease, int]] = field(default_factory=list)
    started: list[RecordedAttempt] = field(default_factory=list)
    completed: list[RecordedAttempt] = field(default_factory=list)
    failed: list[TaskChange] = field(default_factory=list)
    released: list[TaskChange] = field(default_factory=list)

    def ended_tasks(self, completions: Sequence[Completion]) -> EndedTasks:
        """Return the counts and sampled durations for the statistics.

        Waits are sampled from the written rows, run times from `completions`. Both are seconds.
        """
        step = len(self.completed) // _SAMPLES_MAX + 1
        failures = count_failures(self.failed)
        return EndedTasks(
            complete=len(self.completed),
            failed=failures.failed,
            retried=failures.retried,
            wait=histogram([row.wait_s for row in self.completed[::step]], step),
            run=histogram(
                [each.started_age_s - each.finished_age_s for each in completions[::step]], step
            ),
        )
