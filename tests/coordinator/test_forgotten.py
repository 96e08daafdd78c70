"""A claim whose answer was lost is put back; what is only on its way is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from coordinator.announcer import Announcer
from coordinator.database import Database, conninfo
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.forgotten import Forgotten
from coordinator.held import Held
from tasks import store
from tasks.conf import Settings
from tasks.models import Task
from tasks.reports import Claimed, Lease, Pair
from tests.coordinator.sample import connected
from tests.system.fleet import acount, until, until_counted
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


class Counted(Forgotten):
    """Counts how often it looked, and how many rounds are over."""

    looks = rounds = 0

    async def _round(self) -> None:
        await super()._round()
        self.rounds += 1

    async def _unknown(self) -> set[Lease]:
        unknown = await super()._unknown()
        self.looks += 1
        return unknown


class Coordinator:
    """The parts that know of tasks."""

    def __init__(self) -> None:
        self.id = uuid4()
        conf = Settings()
        self.database = Database(conninfo(), conf)
        announcer = Announcer(self.database, conf)
        self.flusher = Flusher(self.database, conf, self.id, announcer, on_pending=lambda: None)
        release = self.flusher.release
        self.dispatcher = Dispatcher(conf, on_room=lambda: None, on_release=release)
        self.held = Held(self.database, self.dispatcher, conf, on_release=release)
        self.forgotten = Counted(
            self.database,
            self.dispatcher,
            self.held,
            self.flusher,
            self.id,
            on_release=release,
            round_s=0.1,
        )

    async def claim(self, count: int) -> list[Claimed]:
        """Tasks that are this coordinator's from now on."""
        await sync_to_async(stored)(count)
        async with self.database.connection() as connection:
            pair = Pair("default", 0, LONG_AGO, -1.0)
            return await store.claim(
                connection, [pair], sinces=[LONG_AGO], within_s=0, room=count, coordinator=self.id
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.database.open()
        tasks = [asyncio.create_task(part.run()) for part in (self.flusher, self.forgotten)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.database.close()

    async def two_rounds(self) -> None:
        """Waits as long as it takes to find what is forgotten."""
        enough = self.forgotten.rounds + 2
        await until(lambda: self.forgotten.rounds >= enough)


async def test_claims_whose_answer_was_lost_are_pending_again() -> None:
    coordinator = Coordinator()
    async with coordinator.running():
        lost = await coordinator.claim(3)
        known = await coordinator.claim(4)
        connected(coordinator.dispatcher, slots=2)
        assert not coordinator.dispatcher.offer(known[:2])
        coordinator.held.push(known[2:])
        coordinator.database.trouble.met(RuntimeError("the connection broke"))
        await until_counted(3, status="pending")
        await coordinator.two_rounds()
        pending = Task.objects.filter(status="pending").values_list("pk", flat=True)
        assert {pk async for pk in pending} == {task.task_id for task in lost}
        assert await acount(status="picked") == 4


async def test_without_trouble_nobody_looks() -> None:
    coordinator, other = Coordinator(), Coordinator()
    async with coordinator.running(), other.running():
        await coordinator.claim(3)
        other.database.trouble.met(RuntimeError("the connection broke"))
        await other.two_rounds()
        assert coordinator.forgotten.looks == 0
        assert await acount(status="picked") == 3


async def test_what_is_known_a_moment_later_is_left_alone() -> None:
    coordinator = Coordinator()
    async with coordinator.running():
        # On its way from the claim to the heap while somebody looks.
        tasks = await coordinator.claim(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(coordinator.forgotten._round())
            await until(lambda: coordinator.forgotten.looks == 1)
            coordinator.held.push(tasks)
        await coordinator.flusher.drained()
        assert coordinator.forgotten.looks == 2
        assert await acount(status="picked") == 1
