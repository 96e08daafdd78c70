"""Run the steps of one coordinator's claims without its loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch.claimer import Claimer
from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.dispatch.parking import Parking
from taskmaster.coordinator.dispatch.pauses import Pauses
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.liveness.capacity import CapacityWriter
from taskmaster.coordinator.support.database import Database
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import Release
from taskmaster.tasks.models import Task
from taskmaster.tasks.store import async_store
from tests.coordinator.sample import RecordedDispatcher, connected, sent
from tests.factories import stored


class Bench:
    """One coordinator without its loops: tests call the steps of its parts."""

    def __init__(self, number: int, database: Database) -> None:
        conf, self.id = Settings(), UUID(int=number)
        self.recorded = RecordedDispatcher(conf)
        self.dispatcher, self.clock = self.recorded.dispatcher, self.recorded.clock
        self.database = database
        self.publisher = EventPublisher(database)
        self.leads = False
        self.parking = Parking(
            database,
            self.dispatcher,
            self.id,
            self.publisher,
            on_release=self.recorded.released.extend,
            is_leader=lambda: self.leads,
            clock=self.clock,
        )
        release = self.recorded.released.extend
        self.held = LookaheadQueue(database, self.dispatcher, conf, on_release=release)
        self.pauses = Pauses(database, self.dispatcher, self.held, conf, on_release_held=release)
        self.claimer = Claimer(
            database,
            self.dispatcher,
            self.held,
            self.parking,
            self.pauses,
            conf,
            self.id,
            self.publisher,
            on_refuse=lambda task, reason: None,
            clock=self.clock,
        )
        self.pauses.on_change = self.claimer.pauses_changed
        self.writer = CapacityWriter(
            database, self.dispatcher, self.id, on_new_names=self.parking.unpark
        )

    async def connect(self, names: set[str] | None, **fields: Any) -> WorkerConnection:
        """Connect a worker that knows these names, and write them."""
        worker = connected(self.dispatcher, names=names, **{"slots": 8, **fields})
        await self.write()
        return worker

    async def write(self) -> None:
        await self.writer._iterate()

    async def claim(self) -> None:
        """Claim once, after a fresh scan, and release."""
        self.claimer._scanned_at = float("-inf")
        await self.claimer._claim_all()
        await self.release()

    async def release(self) -> None:
        """Release what the dispatcher, the look-ahead and the pauses release."""
        released, self.recorded.released[:] = list(self.recorded.released), []
        releases = [Release(*each, handed_back=False, unused=True) for each in released]
        async with self.database.connection() as connection:
            await async_store.release_tasks(connection, releases, self.id)

    def reserved(self) -> set[str]:
        return set().union(*self.parking._reserved.values())


async def store(*names: str, **fields: Any) -> list[int]:
    """Store a due task of each name, in the given order."""
    return [
        task_id for name in names for task_id in await sync_to_async(stored)(name=name, **fields)
    ]


async def rows(ids: Sequence[int], *fields: str) -> list[Any]:
    """Return these fields of the tasks, in the order of the ids."""
    flat = len(fields) == 1
    values = Task.objects.filter(pk__in=ids).order_by("pk").values_list(*fields, flat=flat)
    return [each async for each in values]


def offered(worker: WorkerConnection) -> list[int]:
    return [offer.task_id for offer in sent(worker)]
