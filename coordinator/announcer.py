"""Tells the world what happens: events, and the count of what waits and runs.

What is noted within a tenth of a second is published together. Only then is it made into sentences,
or, when it is too much, into counts: noting costs next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from coordinator.database import REFUSED, TROUBLE, Database
from coordinator.refusals import Refusals
from tasks import store
from tasks.conf import Settings
from tasks.events.event import ORDINARY, Kind, NewEvent
from tasks.events.fold import SINGLES_MAX, Group, counted, fold
from tasks.events.publish import FORGET_EVERY, INTERVAL_S
from tasks.statistics.census import Census
from tasks.store import Connection

#: Without news it counts this often: tasks fall due, and not every submission is told.
_IDLE_S = 10.0
#: How often the list of watched tasks is read although nobody said that it has changed.
_WATCH_S = 20.0
#: A short task is claimed, begun and ended within this time: one publication.
_GATHER_S = 0.015
_RETRY_S = 0.5
#: More is not kept while the database is away.
_WAITING_MAX = 50_000
#: Watched tasks named in one message, far below 8,000 bytes.
_PRINTED_MAX = 300

_QUEUE = attrgetter("queue")
_WORKER = attrgetter("worker", "worker_id")


@dataclass(frozen=True, slots=True)
class Many:
    """Rows of one kind with the reports that belong to them, to be put into words if there is room.

    A row has `task_id` and `queue`; a report has `task_id`, `worker` and `worker_id`. Where there
    are no reports the row has them, unless it was only picked.
    """

    kind: Kind
    rows: Sequence[Any]
    words: Callable[[Any, Any], NewEvent]
    reports: Sequence[Any] = ()

    def single(self, only: Collection[int] | None = None) -> list[NewEvent]:
        """Each row in words, or each of these tasks."""
        rows = self.rows if only is None else [row for row in self.rows if row.task_id in only]
        by_id = {report.task_id: report for report in self.reports} if rows else {}
        return [self.words(row, by_id.get(row.task_id)) for row in rows]

    def groups(self, without: Set[int]) -> Counter[Group]:
        """How many rows there are for each queue and worker, but for these tasks."""
        kind = self.kind
        rows = [row for row in self.rows if row.task_id not in without] if without else self.rows
        queues = Counter(map(_QUEUE, rows))
        if not self.reports:
            if kind is Kind.PICKED:
                return Counter({(kind, queue, "", None): n for queue, n in queues.items()})
            return Counter((kind, row.queue, row.worker, row.worker_id) for row in rows)
        if len(queues) == 1 and len(rows) == len(self.reports):
            [queue] = queues
            workers = Counter(map(_WORKER, self.reports))
            return Counter({(kind, queue, *worker): n for worker, n in workers.items()})
        queue_of = {row.task_id: row.queue for row in rows}
        return Counter(
            (kind, queue_of[report.task_id], report.worker, report.worker_id)
            for report in self.reports
            if report.task_id in queue_of
        )


class Announcer:
    """The one of a coordinator."""

    def __init__(
        self,
        database: Database,
        conf: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._conf = conf
        self._clock = clock
        self._census = Census()
        self._refusals = Refusals()
        self._events: list[NewEvent] = []
        self._many: list[Many] = []
        self._size = 0
        self._printed: set[int] = set()
        self._noted = asyncio.Event()
        self._watched: set[int] = set()
        self._watch_read_at = float("-inf")
        self._publications = 0

    # ---- in ---------------------------------------------------------------------------------

    def note(self, event: NewEvent) -> None:
        """Something happened."""
        self._take([event], [])

    def note_many(self, many: Many) -> None:
        """The same happened to many tasks."""
        if many.rows:
            self._take([], [many])

    def note_output(self, task_ids: Iterable[int]) -> None:
        """These tasks printed something, which matters where somebody watches them."""
        if self._watched and not self._watched.isdisjoint(printed := set(task_ids)):
            self._printed |= printed & self._watched
            self._noted.set()

    def watch_changed(self) -> None:
        """Somebody looks at other tasks than before."""
        self._watch_read_at = float("-inf")
        self._noted.set()

    def _take(self, events: list[NewEvent], many: list[Many]) -> None:
        size = len(events) + sum(len(each.rows) for each in many)
        if self._size + size > _WAITING_MAX:
            self._refusals.note("events dropped: the database has been away for too long")
            return
        self._events += events
        self._many += many
        self._size += size
        self._noted.set()

    # ---- out --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Publishes and counts until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._noted.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(_GATHER_S)
            try:
                await self.publish()
            except TROUBLE:
                await asyncio.sleep(_RETRY_S)
                # What was not read or not told is due again, not only with the next news.
                self.watch_changed()
            await asyncio.sleep(INTERVAL_S - _GATHER_S)

    async def publish(self) -> None:
        """Publishes what was noted. Raises what the database raises; nothing is forgotten then."""
        self._noted.clear()
        async with self._database.connection() as connection:
            if self._clock() - self._watch_read_at > _WATCH_S:
                self._watch_read_at = self._clock()
                self._watched = await store.watched(connection)
            await self._publish_noted(connection)
            await self._tell_printed(connection)
            # Last: of millions that wait a count takes seconds.
            await self._census.take(connection)

    async def _publish_noted(self, connection: Connection) -> None:
        # Others go on noting while this waits.
        events, many, self._events, self._many, self._size = self._events, self._many, [], [], 0
        lines = self._lines(events, many)
        if not lines:
            return
        try:
            await store.publish(connection, lines)
        except REFUSED as error:
            # Again it would be refused again, and nothing else would be told any more.
            reason = str(error).partition("\n")[0]
            self._refusals.note("events dropped: the database refuses them", error=reason)
        except BaseException:
            later, later_many, self._events, self._many = self._events, self._many, events, many
            self._size = len(events) + sum(len(each.rows) for each in many)
            self._take(later, later_many)
            raise
        if self._publications % FORGET_EVERY == 0:
            await store.forget_events(connection, self._conf.events_kept)
        self._publications += 1

    async def _tell_printed(self, connection: Connection) -> None:
        printed = list(self._printed)[:_PRINTED_MAX]
        if not printed:
            return
        # What is printed again while this waits is told again.
        self._printed.difference_update(printed)
        try:
            await store.printed(connection, printed)
        except BaseException:
            self._printed.update(printed)
            raise
        if self._printed:
            self._noted.set()

    def _lines(self, events: list[NewEvent], many: list[Many]) -> list[NewEvent]:
        """In words, or in counts when it is too much for words."""
        if len(events) + sum(len(each.rows) for each in many) <= SINGLES_MAX:
            return [*(line for each in many for line in each.single()), *events]
        groups = Counter[Group]()
        rare = list(events)
        for each in many:
            if each.kind not in ORDINARY and len(each.rows) <= SINGLES_MAX:
                rare += each.single()
                continue
            if self._watched:
                rare += each.single(self._watched)
            groups.update(each.groups(self._watched))
        return [*counted(groups), *fold(rare, self._watched)]
