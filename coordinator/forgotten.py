"""Puts back what was claimed for this coordinator without its knowing.

A connection may break between the commit of a claim and its answer. Then the database has tasks
as picked by a coordinator that lives, so nobody rescues them, and has never heard of them. After
database trouble this looks for them, and takes none for forgotten that is just on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from coordinator.database import TROUBLE, Database
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.held import Held
from tasks import store
from tasks.reports import Lease

log = logging.getLogger(__name__)

#: How often it looks, and longer than any task is between the claim and the heap or a worker.
_ROUND_S = 1.0
#: How long after the last trouble: the server may go on with a claim whose client is gone.
_AFTER_S = 30.0


class Forgotten:
    """The claims of one coordinator whose answer was lost."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        held: Held,
        flusher: Flusher,
        coordinator: UUID,
        *,
        on_release: Callable[[Sequence[Lease]], None],
        round_s: float = _ROUND_S,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._held = held
        self._flusher = flusher
        self._coordinator = coordinator
        self._on_release = on_release
        self._round_s = round_s

    async def run(self) -> None:
        """Looks for as long as there is or was trouble, until cancelled."""
        while True:
            await asyncio.sleep(self._round_s)
            if not self._database.trouble.recent(_AFTER_S):
                continue
            # Else with the next round.
            with contextlib.suppress(*TROUBLE):
                await self._round()

    async def _round(self) -> None:
        """Forgotten is what nobody here knows, twice, with every report in between written."""
        first = await self._unknown()
        if not first:
            return
        await asyncio.sleep(self._round_s)
        await self._flusher.drained()
        found = first & await self._unknown()
        if found:
            log.warning("claims whose answer was lost are released", extra={"tasks": len(found)})
            self._on_release(sorted(found))

    async def _unknown(self) -> set[Lease]:
        """What is picked by this coordinator, but neither held nor offered."""
        known = {*self._held.leases(), *self._dispatcher.leases()}
        async with self._database.connection() as connection:
            picked = await store.picked(connection, self._coordinator)
        # Once more: what has been claimed meanwhile is known by now.
        return picked - known - {*self._held.leases(), *self._dispatcher.leases()}
