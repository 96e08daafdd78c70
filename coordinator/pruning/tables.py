"""Delete old events, bulk operations, offline workers and idempotency keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from taskmaster.coordinator.pruning import pace
from taskmaster.coordinator.pruning.pace import Batches
from taskmaster.coordinator.support.database import OUTAGE_ERRORS
from taskmaster.tasks import retention
from taskmaster.tasks.backoff import Backoff, run_every
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.retention import IDEMPOTENCY_KEPT, Retention
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import prune_store as store
from taskmaster.workers.store import async_store as worker_store

log = logging.getLogger(__name__)

#: Deletes up to a batch of rows, and returns their number.
_Prune = Callable[[Connection], Awaitable[int]]


class TablePruner:
    """Delete the old rows of the small tables while this coordinator leads."""

    def __init__(
        self,
        batches: Batches,
        conf: Settings,
        *,
        leading: asyncio.Event,
        read_retention: Callable[[], Retention] = retention.current,
    ) -> None:
        self._batches = batches
        self._conf = conf
        self._leading = leading
        self._read_retention = read_retention

    async def run(self) -> None:
        """Prune at an interval until cancelled."""
        await run_every(
            pace.INTERVAL_S, self.prune, retry_on=OUTAGE_ERRORS, backoff=Backoff(*pace.RETRY_S)
        )

    async def prune(self) -> None:
        """Delete what is old now. Wait until this coordinator leads; stop when it does not.

        Raises the errors in OUTAGE_ERRORS.
        """
        await self._leading.wait()
        deleted = {name: await self._prune(each) for name, each in self._statements().items()}
        if any(deleted.values()):
            log.info("old rows deleted", extra={name: n for name, n in deleted.items() if n})

    def _statements(self) -> dict[str, _Prune]:
        kept = self._read_retention()
        batch = pace.BATCH
        found: dict[str, _Prune] = {
            "events": lambda c: store.prune_events(c, kept=self._conf.events_kept, batch=batch),
            "idempotency_keys": lambda c: store.prune_idempotency_keys(
                c, kept=IDEMPOTENCY_KEPT, batch=batch
            ),
        }
        if (operations := kept.operations) is not None:
            found["operations"] = lambda c: store.prune_operations(c, kept=operations, batch=batch)
        if (workers := kept.workers) is not None:
            found["workers"] = lambda c: worker_store.prune_workers(c, kept=workers, batch=batch)
        return found

    async def _prune(self, delete: _Prune) -> int:
        """Run a statement until it finds less than a batch. Return the number of deleted rows."""
        total, deleted = 0, pace.BATCH
        while deleted >= pace.BATCH and self._leading.is_set():
            async with self._batches.next() as connection:
                deleted = await delete(connection)
            total += deleted
        return total
