"""Check that a report names an execution of its worker.

A worker must not finish or hand back an execution that it was never given. Each report carries the
token of its offer, which no other worker knows.
"""

from __future__ import annotations

import asyncio

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.offer_tokens import OfferTokens
from taskmaster.coordinator.reports import wire
from taskmaster.coordinator.reports.wire import ReportHead
from taskmaster.coordinator.support.database import Database
from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.messages import Lease, ReportedExecution
from taskmaster.tasks.store import async_store as store


class OwnershipCheck:
    """Remove reports of executions that do not belong to their worker.

    Executions that this coordinator has in flight at the worker need no query. Other legitimate
    executions are rare: the worker came from another coordinator, the offer was withdrawn, or the
    task was cancelled. The database is queried for these. Queries run one at a time, because a
    misbehaving worker must not occupy the connection pool.
    """

    def __init__(self, database: Database, tokens: OfferTokens) -> None:
        self._database = database
        self._tokens = tokens
        self._querying = asyncio.Lock()
        self._refusals = LogThrottle()

    async def remove_foreign(
        self, worker: WorkerConnection, update: pb.StatusUpdate
    ) -> tuple[pb.StatusUpdate, list[Lease]]:
        """Return the update without foreign and unknown executions, and the removed leases.

        Raises the errors in OUTAGE_ERRORS.
        """
        unexpected = {head for head in wire.report_heads(update) if not worker.has(*head)}
        if not unexpected:
            return update, []
        named = {(head.lease, head.token) for head in unexpected}
        async with self._querying:
            valid = await self._tokens.are_valid(worker.id, named)
            proven = [head for head in unexpected if (head.lease, head.token) in valid]
            found = await self._find(worker, proven) if proven else []
        if len(proven) < len(unexpected):
            self._refusals.warn(
                "report refused: it has no valid token of its offer", worker=worker.name
            )
        if any(each.live and not each.own for each in found):
            self._refusals.warn(
                "report refused: the execution belongs to another worker", worker=worker.name
            )
        own = {(each.lease, each.attempt) for each in found if each.own}
        refused = unexpected - {head for head in proven if (head.lease, head.attempt) in own}
        if not refused:
            return update, []
        return wire.without_reports(update, refused), [head.lease for head in refused]

    async def _find(
        self, worker: WorkerConnection, heads: list[ReportHead]
    ) -> list[ReportedExecution]:
        async with self._database.connection() as connection:
            return await store.check_report_ownership(
                connection, worker.id, [(*head.lease, head.attempt) for head in heads]
            )
