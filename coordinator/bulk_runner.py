"""Run confirmed bulk operations in chunks.

Every coordinator searches for bulk operations. The coordinator that locks the operation's row runs
the next chunk. The others check the operation again after a second, so that it continues if that
coordinator dies.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.support.database import Database
from taskmaster.coordinator.support.django_thread import repeat, run_in_thread
from taskmaster.tasks.backoff import Backoff, wait_until_set
from taskmaster.tasks.bulk.runner import ChunkResult, run_chunk
from taskmaster.tasks.bulk_actions import Action
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.store import async_store as store

log = logging.getLogger(__name__)

#: Longest wait in seconds while other coordinators have locked all remaining bulk operations.
_OTHERS_S = 1.0
#: Seconds between two chunks. The pause leaves time for the claims and reports of this coordinator.
_PAUSE_S = 0.005
#: Seconds to wait for the current chunk when the coordinator stops.
_LAST_S = 2.0
#: First and longest back-off in seconds after a database error.
_RETRY_S = (0.1, 5.0)
#: Kind of the event that is published for each task, in addition to the event of the operation.
_EVENT_KINDS = {
    Action.CANCEL: EventKind.CANCELLED,
    Action.RETRY: EventKind.SUBMITTED,
    Action.RUN_NOW: EventKind.SUBMITTED,
    Action.BACKFILL: EventKind.SUBMITTED,
}


class BulkRunner:
    """Run the chunks of bulk operations for one coordinator."""

    def __init__(
        self, database: Database, conf: Settings, publisher: EventPublisher, executor: Executor
    ) -> None:
        self._database = database
        self._conf = conf
        self._publisher = publisher
        #: Runs the chunks in threads that may use Django's connections.
        self._executor = executor
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Wake the loop: there may be a bulk operation to run."""
        self._woken.set()

    async def run(self) -> None:
        """Run chunks until cancelled."""
        await repeat(
            self._iterate,
            backoff=Backoff(*_RETRY_S),
            log=log,
            failure="bulk operation failed; retrying",
        )

    async def _iterate(self) -> None:
        self._woken.clear()
        if not await self._has_pending():
            await wait_until_set(self._woken, self._conf.poll_interval_s)
        elif await self._run_next_chunk():
            await asyncio.sleep(_PAUSE_S)
        else:
            await wait_until_set(self._woken, _OTHERS_S)

    async def _has_pending(self) -> bool:
        async with self._database.connection() as connection:
            return await store.has_pending_operations(connection)

    async def _run_next_chunk(self) -> bool:
        """Run one chunk. Return False if there was none to run."""
        running = asyncio.ensure_future(run_in_thread(self._executor, run_chunk))
        try:
            result = await asyncio.shield(running)
        except asyncio.CancelledError:
            # The thread cannot be cancelled. Wait for its chunk and publish the result, unless it
            # takes longer than _LAST_S.
            await asyncio.wait([running], timeout=_LAST_S)
            if running.done() and running.exception() is None and (last := running.result()):
                self._publish(last)
            raise
        if result is not None:
            self._publish(result)
        return result is not None

    def _publish(self, chunk: ChunkResult) -> None:
        kind = _EVENT_KINDS.get(chunk.action)
        if kind is not None:
            self._publisher.add_batch(
                EventBatch(kind, chunk.changed, messages.changed_in_bulk(chunk))
            )
        if chunk.ended is not None:
            self._publisher.add(chunk.ended)
            log.info("bulk operation ended", extra={"outcome": chunk.ended.text})
