"""Reports become one fenced write, and the write becomes their receipts.

What workers report within a few milliseconds is written together: output first, then starts,
ends and releases, each kind one statement. A start whose end is in the same flush is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from coordinator import translate, words
from coordinator.announcer import Announcer, Many
from coordinator.batch import Batch, Entry, Outcome
from coordinator.database import REFUSED, TROUBLE, Database
from coordinator.refusals import Refusals
from proto import taskmaster_pb2 as pb
from tasks import store
from tasks.conf import Settings
from tasks.events.event import Kind
from tasks.lifecycle import Status
from tasks.reports import Changed, Completion, Failure, Lease, Release, Start, Written
from tasks.store import Connection

#: A flush takes some ten milliseconds; offers are accepted within seconds.
_LATE_S = 0.5
#: Seconds before a flush that met database trouble is tried again, doubled up to the second.
_RETRY_S = (0.1, 5.0)


class Flusher:
    """Gathers reports and writes them."""

    def __init__(
        self,
        database: Database,
        conf: Settings,
        coordinator: UUID,
        announcer: Announcer,
        *,
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._conf = conf
        self._coordinator = coordinator
        self._announcer = announcer
        self._on_pending = on_pending
        self._clock = clock
        self._entries: list[Entry] = []
        self._releases: list[Lease] = []
        self._filled = asyncio.Event()
        self._refusals = Refusals()
        #: When a flush last succeeded, and since when the oldest report waits.
        self.flushed_at: float | None = None
        self.waiting_since: float | None = None

    # ---- in ---------------------------------------------------------------------------------

    async def write(self, update: pb.StatusUpdate, worker: str, worker_id: UUID) -> list[Lease]:
        """Returns the stale leases once everything else of the update is durable."""
        receipt: asyncio.Future[list[Lease]] = asyncio.get_running_loop().create_future()
        self._entries.append(Entry(update, worker, worker_id, self._clock(), receipt))
        self._fill()
        return await receipt

    def release(self, leases: Sequence[Lease]) -> None:
        """Puts tasks back with the next flush."""
        self._releases.extend(leases)
        self._fill()

    def lose(self, attempts: Sequence[tuple[Lease, int]], worker: str, worker_id: UUID) -> None:
        """Writes attempts as lost, which their worker does not know any more."""
        update = translate.lost(attempts)
        receipt: asyncio.Future[list[Lease]] = asyncio.get_running_loop().create_future()
        self._entries.append(Entry(update, worker, worker_id, self._clock(), receipt))
        self._fill()

    def _fill(self) -> None:
        if self.waiting_since is None:
            self.waiting_since = self._clock()
        self._filled.set()

    @property
    def late(self) -> bool:
        """Whether reports wait for longer than the database needs when all is well."""
        return self.waiting_since is not None and self._clock() - self.waiting_since > _LATE_S

    async def drained(self) -> None:
        """Waits until everything that has been handed in by now is written."""
        await self.write(pb.StatusUpdate(), "", UUID(int=0))

    # ---- out --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Writes what is gathered, until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._conf.flush_interval_s)
            self._filled.clear()
            entries, releases = self._take()
            await self._flush(entries, releases)
            self.flushed_at = self._clock()
            self.waiting_since = None
            if self._entries or self._releases:
                self._fill()

    def _take(self) -> tuple[list[Entry], list[Lease]]:
        count = size = 0
        for entry in self._entries:
            count, size = count + 1, size + entry.size
            if size >= self._conf.flush_batch:
                break
        entries, self._entries = self._entries[:count], self._entries[count:]
        releases, self._releases = self._releases, []
        return entries, releases

    async def _flush(self, entries: list[Entry], releases: list[Lease]) -> None:
        pause, longest = _RETRY_S
        while True:
            batch = self._batch(entries, releases)
            try:
                stale = await self._settle(batch)
            except TROUBLE:
                await asyncio.sleep(pause)
                pause = min(longest, pause * 2)
                continue
            self._answer(entries, stale)
            if batch.releases or batch.failures:
                self._on_pending()
            return

    async def _settle(self, batch: Batch) -> set[Lease]:
        """Writes a batch; the report that the database refuses costs no other its place."""
        try:
            return await self._write(batch)
        except REFUSED as error:
            stale: set[Lease] = set()
            for half in batch.halves():
                stale |= await self._settle(half)
            if not batch.halves():
                stale = await self._replace(batch, str(error).strip())
            return stale

    async def _replace(self, batch: Batch, error: str) -> set[Lease]:
        """Of a single report that the database refuses: a result fails its task for good.

        Whatever else it is, nothing of it can be written: its lease is for the rescue.
        """
        self._refusals.note("report refused by the database", error=error.partition("\n")[0])
        if not batch.completions:
            return set()
        failures = [translate.unusable(each) for each in batch.completions]
        return await self._write(Batch(failures=failures))

    def _batch(self, entries: Sequence[Entry], releases: Sequence[Lease]) -> Batch:
        withdrawn = [Release(lease.task_id, lease.lease, begun=False) for lease in releases]
        batch, now = Batch(releases=withdrawn), self._clock()
        for entry in entries:
            translate.add(entry, batch, now - entry.received_at)
        ended = {(end.task_id, end.lease) for end in batch.completions}
        ended.update((end.task_id, end.lease) for end in batch.failures)
        if ended:
            batch.starts = [
                start for start in batch.starts if (start.task_id, start.lease) not in ended
            ]
        return batch

    async def _write(self, batch: Batch) -> set[Lease]:
        if batch.statements == 0:
            return set()
        if batch.statements == 1:
            async with self._database.connection() as connection:
                outcome = await self._run(connection, batch)
        else:
            async with self._database.transaction() as connection:
                outcome = await self._run(connection, batch)
        self._announce(batch, outcome)
        return outcome.stale

    async def _run(self, connection: Connection, batch: Batch) -> Outcome:
        """Runs the statements."""
        outcome = Outcome()
        stale = outcome.stale
        if batch.chunks:
            await store.write_output(connection, batch.chunks)

        def compare(
            reports: Sequence[Start | Completion | Failure], rows: Sequence[Written | Changed]
        ) -> None:
            written = {row.task_id for row in rows}
            if len(written) == len(reports):
                return
            # Of two leases of one task it is the newer that was written.
            newest: dict[int, int] = {}
            for each in reports:
                newest[each.task_id] = max(each.lease, newest.get(each.task_id, each.lease))
            stale.update(
                Lease(each.task_id, each.lease)
                for each in reports
                if each.task_id not in written or each.lease < newest[each.task_id]
            )

        if batch.starts:
            outcome.started = await store.start(connection, batch.starts)
            compare(batch.starts, outcome.started)
        if batch.completions:
            outcome.completed = await store.complete(connection, batch.completions)
            compare(batch.completions, outcome.completed)
        if batch.failures:
            outcome.failed = await store.fail(connection, batch.failures)
            compare(batch.failures, outcome.failed)
        if batch.releases:
            outcome.released = await store.release(connection, batch.releases, self._coordinator)
        if tally := outcome.tally(batch.completions):
            await store.tally(connection, tally, self._coordinator)
        return outcome

    def _announce(self, batch: Batch, outcome: Outcome) -> None:
        tell = self._announcer.note_many
        tell(Many(Kind.STARTED, outcome.started, words.started, batch.starts))
        tell(Many(Kind.COMPLETE, outcome.completed, words.complete, batch.completions))
        for kind, status in ((Kind.FAILED, Status.FAILED), (Kind.RETRIED, Status.PENDING)):
            rows = [row for row in outcome.failed if row.status == status]
            tell(Many(kind, rows, words.failed, batch.failures))
        tell(Many(Kind.RELEASED, outcome.released, words.released))
        if batch.chunks:
            self._announcer.note_output(chunk.task_id for chunk in batch.chunks)

    @staticmethod
    def _answer(entries: Sequence[Entry], stale: set[Lease]) -> None:
        for entry in entries:
            if entry.receipt.done():
                continue
            mine = (
                [lease for lease in translate.leases(entry.update) if lease in stale]
                if stale
                else []
            )
            entry.receipt.set_result(mine)
