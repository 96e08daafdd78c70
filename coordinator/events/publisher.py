"""Publish the events of one coordinator, and update the counts of tasks by status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from taskmaster.coordinator.support.database import OUTAGE_ERRORS, REJECTED_ERRORS, Database
from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.events.unpublished import GATHER_S, PAUSE_S, RETRY_S, UnpublishedEvents
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.statistics.depth import DepthCounter
from taskmaster.tasks.store import async_store as store

#: Seconds between two counts of tasks while no event is added. Tasks fall due without an event, and
#: not every submission publishes one.
_IDLE_S = 10.0
#: Seconds after which the list of watched tasks is read again without a notification of a change.
_WATCHED_S = 20.0
#: Most watched tasks named in one message. The message stays far below the 8,000 bytes of NOTIFY.
_OUTPUT_MAX = 300


class EventPublisher:
    """Publish the events of one coordinator in batches.

    Adding events is cheap: their texts are built when they are published, and only those of single
    events.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._depth = DepthCounter(clock)
        #: Time of the last added event.
        self._added_at = clock()
        self._unpublished = UnpublishedEvents(REJECTED_ERRORS, clock=clock)
        #: Watched tasks with new output, of which the web processes are to be notified.
        self._with_output: set[int] = set()
        self._added = asyncio.Event()
        #: Tasks that a web process displays, as last read from the database.
        self._watched: set[int] = set()
        self._watched_read_at = float("-inf")

    def add(self, event: NewEvent) -> None:
        """Add an event to the next publication."""
        self._unpublished.add([event])
        self._set_added()

    def add_batch(self, batch: EventBatch) -> None:
        """Add the rows of one kind of event to the next publication."""
        if batch.rows:
            self._unpublished.add(batches=[batch])
            self._set_added()

    def _set_added(self) -> None:
        self._added_at = self._clock()
        self._added.set()

    def add_output(self, task_ids: Iterable[int]) -> None:
        """Add watched tasks with new output to the next publication. Ignore all other tasks."""
        if self._watched and not self._watched.isdisjoint(with_output := set(task_ids)):
            self._with_output |= with_output & self._watched
            self._added.set()

    def subscriptions_changed(self) -> None:
        """Read the list of watched tasks again with the next publication."""
        self._watched_read_at = float("-inf")
        self._added.set()

    async def run(self) -> None:
        """Publish events and count tasks until cancelled.

        Wait GATHER_S after the first event, so that one publication covers many.
        """
        while True:
            settles_in_s = self._depth.settles_at(self._added_at) - self._clock()
            settled = False
            try:
                async with asyncio.timeout(max(0.0, min(_IDLE_S, settles_in_s))):
                    await self._added.wait()
            except TimeoutError:
                settled = settles_in_s < _IDLE_S
            await asyncio.sleep(GATHER_S)
            try:
                await self.publish(settled=settled)
            except OUTAGE_ERRORS:
                await asyncio.sleep(RETRY_S)
                # Retry the failed steps now, without waiting for the next event.
                self.subscriptions_changed()
            await asyncio.sleep(PAUSE_S)

    async def publish(self, *, settled: bool = False) -> None:
        """Publish the added events and the tasks with new output, then count the tasks.

        `settled` is true if no event was added for a while.
        Raises the errors of the database. The events are kept then, unless PostgreSQL rejects them.
        """
        self._added.clear()
        async with self._database.connection() as connection:
            if self._clock() - self._watched_read_at > _WATCHED_S:
                self._watched_read_at = self._clock()
                self._watched = await store.list_watched_tasks(connection)
            await self._publish_events(connection)
            await self._notify_output(connection)
            # Count last. Counting millions of pending tasks takes seconds.
            await self._depth.count(connection, settled=settled)

    async def _publish_events(self, connection: Connection) -> None:
        with self._unpublished.publication() as gathered:
            if not gathered.size:
                return
            await store.publish_events(connection, gathered.aggregated(self._watched))

    async def _notify_output(self, connection: Connection) -> None:
        with_output = list(self._with_output)[:_OUTPUT_MAX]
        if not with_output:
            return
        # Remove the ids first. Output that arrives during the await adds them again.
        self._with_output.difference_update(with_output)
        try:
            await store.notify_output(connection, with_output)
        except BaseException:
            self._with_output.update(with_output)
            raise
        if self._with_output:
            self._added.set()
