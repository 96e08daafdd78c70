"""Keep the subscriptions of the tasks that this process displays, and notify their readers."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from taskmaster.tasks.backoff import Backoff, run_every
from taskmaster.tasks.models import Event
from taskmaster.tasks.store import sync_store as store

log = logging.getLogger(__name__)

#: Delay that batches new subscriptions, in seconds.
_GATHER_S = 0.05
#: Interval of the renewals, in seconds. A subscription lasts one minute in the database.
_RENEW_S = 20.0
_RETRY_S = 1.0


class TaskSubscribers:
    """Map tasks to the readers that wait for their changes."""

    def __init__(self) -> None:
        self._web = uuid4()
        self._readers: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def subscribed(self, task_id: int) -> AsyncIterator[asyncio.Event]:
        """Yield an asyncio event that is set when the task may have changed or printed output."""
        changed = asyncio.Event()
        if task_id not in self._readers:
            self._changed.set()
        self._readers[task_id].add(changed)
        try:
            yield changed
        finally:
            self._readers[task_id].discard(changed)
            if not self._readers[task_id]:
                del self._readers[task_id]
                self._changed.set()

    def notify_changed(self, events: Iterable[Event]) -> None:
        """Notify the readers of the tasks of these events."""
        self._notify(event.task_id for event in events if event.task_id is not None)

    def notify_output(self, task_ids: Iterable[int]) -> None:
        """Notify the readers of tasks that have new output."""
        self._notify(task_ids)

    def notify_all(self) -> None:
        """Notify all readers, because notifications may have been lost."""
        self._notify(list(self._readers))

    def _notify(self, task_ids: Iterable[int]) -> None:
        for task_id in task_ids:
            for changed in self._readers.get(task_id, ()):
                changed.set()

    async def run(self) -> None:
        """Renew the subscriptions in the database until cancelled."""
        await run_every(
            0.0,
            self._renew_when_due,
            retry_on=(DatabaseError, PoolTimeout),
            backoff=Backoff(_RETRY_S, _RETRY_S),
            on_error=self._log_failure,
        )

    def _log_failure(self, error: Exception) -> None:
        log.warning("task subscriptions not renewed", extra={"error": str(error).strip()})
        self._changed.set()

    async def _renew_when_due(self) -> None:
        """Wait for a change or the next renewal, and write all subscriptions."""
        try:
            async with asyncio.timeout(_RENEW_S):
                await self._changed.wait()
        except TimeoutError:
            if not self._readers:
                return
        await asyncio.sleep(_GATHER_S)
        self._changed.clear()
        watched = list(self._readers)
        await sync_to_async(self._renew, thread_sensitive=False)(watched)
        # Earlier events of these tasks may have been aggregated into counts.
        self._notify(watched)

    def _renew(self, watched: list[int]) -> None:
        try:
            store.renew_subscriptions(watched, self._web)
        finally:
            connection.close()
