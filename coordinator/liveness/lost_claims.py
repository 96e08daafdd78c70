"""Release claims whose commit succeeded but whose reply was lost.

A connection may break between the commit of a claim and its reply. The tasks are then stored as
picked by a coordinator that does not know of them. Since that coordinator is alive, no other
coordinator rescues them. This module searches for them after a database error. It does not release
claims that are still on their way from the database to the dispatcher.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.messages import Lease
from taskmaster.tasks.store import async_store as store

log = logging.getLogger(__name__)

#: Seconds between two searches. Longer than a claimed task takes to reach the look-ahead queue or a
#: worker.
_INTERVAL_S = 1.0
#: Seconds after the last database error for which the search goes on. The server may still finish a
#: claim whose client has disconnected.
_SEARCH_S = 30.0


class LostClaims:
    """Find and release the lost claims of one coordinator."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        lookahead: LookaheadQueue,
        flusher: Flusher,
        coordinator: UUID,
        *,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._lookahead = lookahead
        self._flusher = flusher
        self._coordinator = coordinator
        self._interval_s = interval_s

    async def run(self) -> None:
        """Search during and shortly after database errors, until cancelled."""
        await run_every(self._interval_s, self._iterate, retry_on=OUTAGE_ERRORS)

    async def _iterate(self) -> None:
        if self._database.outage.had_error_within(_SEARCH_S):
            await self._release_lost()

    async def _release_lost(self) -> None:
        """Release claims that two searches in a row find unknown.

        All pending reports are written between the two searches.
        """
        first = await self._find_unknown()
        if not first:
            return
        await asyncio.sleep(self._interval_s)
        await self._flusher.wait_until_written()
        lost = first & await self._find_unknown()
        if lost:
            log.warning("lost claims released", extra={"tasks": len(lost)})
            self._flusher.release(sorted(lost))

    async def _find_unknown(self) -> set[Lease]:
        """Return the leases picked by this coordinator that are neither held nor in flight."""
        known = self._known_leases()
        async with self._database.connection() as connection:
            claimed = await store.list_claimed_leases(connection, self._coordinator)
        # Compare with the current state again. A claim made during the query is known by now.
        return claimed - known - self._known_leases()

    def _known_leases(self) -> set[Lease]:
        return {*self._lookahead.leases(), *self._dispatcher.leases()}
