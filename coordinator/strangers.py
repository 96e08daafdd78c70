"""Whose executions reports name: nobody ends, or hands back, what it was never given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from coordinator.database import Database
from coordinator.refusals import Refusals
from coordinator.translate import Report
from tasks import store


class Strangers:
    """Looks at reports of executions that this coordinator has not handed to their worker.

    Honest ones are rare: of a worker that came from another coordinator, of an offer that was
    withdrawn meanwhile, of a task that was cancelled. So the database can be asked, one question
    at a time: whoever sends nonsense must not keep its connections from the others.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        self._refusals = Refusals()

    async def of(self, worker_id: UUID, worker: str, reports: Sequence[Report]) -> set[Report]:
        """Those that are not the worker's. Raises what is in TROUBLE."""
        async with self._asking, self._database.connection() as connection:
            found = await store.own(
                connection, worker_id, [(*report.lease, report.attempt) for report in reports]
            )
        own = {Report(each.lease, each.attempt) for each in found if each.own}
        if any(each.live and not each.own for each in found):
            self._refusals.note("report refused: the execution is not this worker's", worker=worker)
        return {report for report in reports if report not in own}
