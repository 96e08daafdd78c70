"""Write the workers' reports in fenced batches and acknowledge each when it is durable.

Reports that arrive within a few milliseconds are written together. Output comes first, then
starts, completions, failures and releases, with one statement for each kind. A start whose end is
in the same flush is not written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.reports import wire
from taskmaster.coordinator.reports.batch import BatchOutcome, ReportBatch, ReportEntry
from taskmaster.coordinator.reports.output_limit import OutputLimit
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, REJECTED_ERRORS, Database
from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.backoff import Backoff
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import (
    ClaimedTask,
    Completion,
    Failure,
    Lease,
    RecordedAttempt,
    Release,
    Start,
    TaskChange,
)
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as store

#: Seconds after which a waiting report counts as late. A flush takes about 10 ms, and a worker has
#: seconds to accept an offer.
_LATE_S = 0.5
#: First and longest back-off in seconds after a database error.
_RETRY_S = (0.1, 5.0)


class Flusher:
    """Gather reports and write them in batches."""

    def __init__(
        self,
        database: Database,
        conf: Settings,
        coordinator: UUID,
        publisher: EventPublisher,
        *,
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._conf = conf
        self._coordinator = coordinator
        self._publisher = publisher
        self._on_pending = on_pending
        self._clock = clock
        self._entries: list[ReportEntry] = []
        #: The releases of this coordinator itself, such as those of expired offers.
        self._releases: list[Release] = []
        #: Set while a report or a release waits.
        self._waiting = asyncio.Event()
        self._refusals = LogThrottle()
        self._output_limit = OutputLimit(conf.output_max_bytes)
        #: Time of the last successful flush. None: there was none so far.
        self.flushed_at: float | None = None
        #: Time since which the oldest report waits. None: no report waits.
        self.waiting_since: float | None = None

    # ---- gathering --------------------------------------------------------------------------

    async def write(self, update: pb.StatusUpdate, worker: str, worker_id: UUID) -> list[Lease]:
        """Write an update. Return its stale leases when all its other reports are durable."""
        return await self._add(update, worker, worker_id)

    def release(self, leases: Sequence[Lease]) -> None:
        """Release tasks with the next flush. A worker may run them unreported."""
        self._release(leases, unused=False)

    def release_held(self, leases: Sequence[Lease]) -> None:
        """Release tasks that were not offered to a worker with the next flush."""
        self._release(leases, unused=True)

    def refuse(self, task: ClaimedTask, reason: str) -> None:
        """Fail a claimed task with the next flush: no worker can receive it."""
        self._add(wire.refused_offer(task, reason), "", self._coordinator)

    def record_lost(
        self, attempts: Sequence[tuple[Lease, int]], worker: str, worker_id: UUID
    ) -> None:
        """Record attempts as lost with the next flush: their worker does not list them any more."""
        self._add(wire.lost_update(attempts), worker, worker_id)

    async def wait_until_written(self) -> None:
        """Wait until every report that was handed in before this call is written."""
        # An empty update is acknowledged in its turn: after all earlier ones are durable.
        await self._add(pb.StatusUpdate(), "", UUID(int=0))

    def is_late(self) -> bool:
        """Return whether a report waits for longer than a flush normally takes."""
        return self.waiting_since is not None and self._clock() - self.waiting_since > _LATE_S

    def _release(self, leases: Sequence[Lease], *, unused: bool) -> None:
        self._releases.extend(
            Release(lease.task_id, lease.lease, handed_back=False, unused=unused)
            for lease in leases
        )
        self._set_waiting()

    def _add(
        self, update: pb.StatusUpdate, worker: str, worker_id: UUID
    ) -> asyncio.Future[list[Lease]]:
        acknowledged: asyncio.Future[list[Lease]] = asyncio.get_running_loop().create_future()
        self._entries.append(ReportEntry(update, worker, worker_id, self._clock(), acknowledged))
        self._set_waiting()
        return acknowledged

    def _set_waiting(self) -> None:
        if self.waiting_since is None:
            self.waiting_since = self._clock()
        self._waiting.set()

    # ---- writing ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Write the gathered reports until cancelled."""
        while True:
            await self._waiting.wait()
            await asyncio.sleep(self._conf.flush_interval_s)
            self._waiting.clear()
            entries, releases = self._take()
            await self._flush(entries, releases)
            self.flushed_at = self._clock()
            self.waiting_since = None
            if self._entries or self._releases:
                self._set_waiting()

    def _take(self) -> tuple[list[ReportEntry], list[Release]]:
        """Remove the oldest updates, up to `flush_batch` reports, and all releases."""
        count = size = 0
        for entry in self._entries:
            count, size = count + 1, size + entry.size
            if size >= self._conf.flush_batch:
                break
        entries, self._entries = self._entries[:count], self._entries[count:]
        releases, self._releases = self._releases, []
        return entries, releases

    async def _flush(self, entries: list[ReportEntry], releases: list[Release]) -> None:
        """Write updates and releases, retry during an outage, and acknowledge the updates."""
        backoff = Backoff(*_RETRY_S)
        while True:
            batch = self._build_batch(entries, releases)
            try:
                stale = await self._write_or_bisect(batch)
                break
            except OUTAGE_ERRORS:
                await backoff.wait()
        self._acknowledge(entries, stale)
        if batch.releases or batch.failures:
            self._on_pending()

    def _build_batch(
        self, entries: Sequence[ReportEntry], releases: Sequence[Release]
    ) -> ReportBatch:
        """Convert updates to one batch, without the starts whose end is in the same batch.

        It is built again for every retry, because the ages of its reports grow.
        """
        batch, now = ReportBatch(releases=list(releases)), self._clock()
        for entry in entries:
            wire.append_reports(
                batch, entry, now - entry.received_at, result_max=self._conf.result_max_bytes
            )
        batch.chunks = self._output_limit.within(batch.chunks)
        ended = {(end.task_id, end.lease) for end in batch.completions}
        ended.update((end.task_id, end.lease) for end in batch.failures)
        if ended:
            batch.starts = [
                start for start in batch.starts if (start.task_id, start.lease) not in ended
            ]
        return batch

    @staticmethod
    def _acknowledge(entries: Sequence[ReportEntry], stale: set[Lease]) -> None:
        for entry in entries:
            if entry.acknowledged.done():
                continue
            leases = wire.reported_leases(entry.update) if stale else ()
            entry.acknowledged.set_result([lease for lease in leases if lease in stale])

    # ---- one batch --------------------------------------------------------------------------

    async def _write_or_bisect(self, batch: ReportBatch) -> set[Lease]:
        """Write a batch and return the stale leases.

        If PostgreSQL rejects the batch, bisect it, so that one bad report cannot block the rest.
        """
        try:
            return await self._write(batch)
        except REJECTED_ERRORS as error:
            halves = batch.split()
            if not halves:
                return await self._replace_rejected(batch, str(error).strip())
            stale: set[Lease] = set()
            for half in halves:
                stale |= await self._write_or_bisect(half)
            return stale

    async def _replace_rejected(self, batch: ReportBatch, error: str) -> set[Lease]:
        """Handle a batch with the single report that PostgreSQL rejects.

        A completion is replaced by a final failure of its task. Any other report is dropped. Its
        lease is left for the rescue.
        """
        self._refusals.warn("report rejected by PostgreSQL", error=error.partition("\n")[0])
        if not batch.completions:
            return set()
        reason = "the result is not JSON that PostgreSQL can store"
        failures = [wire.refused_result(each, reason) for each in batch.completions]
        return await self._write(ReportBatch(failures=failures))

    async def _write(self, batch: ReportBatch) -> set[Lease]:
        """Write a batch in one transaction, publish its events, and return the stale leases."""
        if batch.statement_count == 0:
            return set()
        if batch.statement_count == 1:
            # A single statement is its own transaction. This saves the round trips of BEGIN and
            # COMMIT.
            async with self._database.connection() as connection:
                outcome = await self._run_statements(connection, batch)
        else:
            async with self._database.transaction() as connection:
                outcome = await self._run_statements(connection, batch)
        self._output_limit.record(outcome.stored_output)
        self._publish(batch, outcome)
        return outcome.stale

    async def _run_statements(self, connection: Connection, batch: ReportBatch) -> BatchOutcome:
        """Run one statement for each kind of report, and one for the statistics."""
        outcome = BatchOutcome()
        if batch.chunks:
            outcome.stored_output = await store.insert_output(connection, batch.chunks)
        if batch.starts:
            outcome.started = await store.start_attempts(connection, batch.starts)
            outcome.stale |= _stale_leases(batch.starts, outcome.started)
        if batch.completions:
            outcome.completed = await store.complete_attempts(connection, batch.completions)
            outcome.stale |= _stale_leases(batch.completions, outcome.completed)
        if batch.failures:
            outcome.failed = await store.fail_attempts(connection, batch.failures)
            outcome.stale |= _stale_leases(batch.failures, outcome.failed)
        if batch.releases:
            outcome.released = await store.release_tasks(
                connection, batch.releases, self._coordinator
            )
        if ended := outcome.ended_tasks(batch.completions):
            await store.record_completions(connection, ended, self._coordinator)
        return outcome

    def _publish(self, batch: ReportBatch, outcome: BatchOutcome) -> None:
        publish = self._publisher.add_batch
        publish(EventBatch(EventKind.STARTED, outcome.started, messages.started, batch.starts))
        publish(
            EventBatch(EventKind.COMPLETE, outcome.completed, messages.complete, batch.completions)
        )
        for kind, status in (
            (EventKind.FAILED, Status.FAILED),
            (EventKind.RETRIED, Status.PENDING),
        ):
            rows = [row for row in outcome.failed if row.status == status]
            publish(EventBatch(kind, rows, messages.failed, batch.failures))
        publish(EventBatch(EventKind.RELEASED, outcome.released, messages.released))
        if batch.chunks:
            self._publisher.add_output(chunk.task_id for chunk in batch.chunks)


def _stale_leases(
    reports: Sequence[Start | Completion | Failure],
    rows: Sequence[RecordedAttempt | TaskChange],
) -> set[Lease]:
    """Return the leases of reports that changed no row."""
    written = {row.task_id for row in rows}
    if len(written) == len(reports):
        return set()
    # If a task is reported under two leases, only the newer one was written.
    newest: dict[int, int] = {}
    for each in reports:
        newest[each.task_id] = max(each.lease, newest.get(each.task_id, each.lease))
    return {
        Lease(each.task_id, each.lease)
        for each in reports
        if each.task_id not in written or each.lease < newest[each.task_id]
    }
