"""Test that lost claims are released, and that claims on their way to a worker are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.liveness.lost_claims import LostClaims
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import ClaimedTask, Lease
from taskmaster.tasks.models import Task
from tests.coordinator.sample import claim, connected, sign
from tests.system.fleet import acount
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)


class CountedLostClaims(LostClaims):
    """Count the searches, and the rounds of two searches that are over."""

    searches = rounds = 0

    async def _release_lost(self) -> None:
        await super()._release_lost()
        self.rounds += 1

    async def _find_unknown(self) -> set[Lease]:
        unknown = await super()._find_unknown()
        self.searches += 1
        return unknown


class Coordinator:
    """The parts of a coordinator that have tasks."""

    def __init__(self) -> None:
        self.id = uuid4()
        conf = Settings()
        self.database = Database(conninfo(), conf)
        publisher = EventPublisher(self.database)
        self.flusher = Flusher(self.database, conf, self.id, publisher, on_pending=lambda: None)
        release = self.flusher.release
        self.dispatcher = Dispatcher(
            conf, on_capacity_freed=lambda: None, on_release=release, sign=sign
        )
        self.lookahead = LookaheadQueue(self.database, self.dispatcher, conf, on_release=release)
        self.lost_claims = CountedLostClaims(
            self.database,
            self.dispatcher,
            self.lookahead,
            self.flusher,
            self.id,
            interval_s=0.1,
        )

    async def claim(self, count: int) -> list[ClaimedTask]:
        return await claim(self.database, self.id, count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.database.open()
        tasks = [asyncio.create_task(part.run()) for part in (self.flusher, self.lost_claims)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.database.close()

    async def two_rounds(self) -> None:
        """Wait until a lost claim must have been found."""
        enough = self.lost_claims.rounds + 2
        await until(lambda: self.lost_claims.rounds >= enough)


async def test_lost_claims_are_pending_again_and_known_ones_stay_picked() -> None:
    coordinator = Coordinator()
    async with coordinator.running():
        lost = await coordinator.claim(3)
        known = await coordinator.claim(4)
        connected(coordinator.dispatcher, slots=2)
        assert not coordinator.dispatcher.offer(known[:2])
        coordinator.lookahead.push(known[2:])
        coordinator.database.outage.record_error(RuntimeError("the connection broke"))
        await until_counted(3, status="pending")
        await coordinator.two_rounds()
        pending = Task.objects.filter(status="pending").values_list("pk", flat=True)
        assert {pk async for pk in pending} == {task.task_id for task in lost}
        assert await acount(status="picked") == 4


async def test_without_a_database_error_there_is_no_search() -> None:
    coordinator, other = Coordinator(), Coordinator()
    async with coordinator.running(), other.running():
        await coordinator.claim(3)
        other.database.outage.record_error(RuntimeError("the connection broke"))
        await other.two_rounds()
        assert coordinator.lost_claims.searches == 0
        assert await acount(status="picked") == 3


async def test_a_claim_that_is_known_at_the_second_search_is_kept() -> None:
    coordinator = Coordinator()
    async with coordinator.running():
        # On its way from the claim to the heap during the first search.
        tasks = await coordinator.claim(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(coordinator.lost_claims._release_lost())
            await until(lambda: coordinator.lost_claims.searches == 1)
            coordinator.lookahead.push(tasks)
        await coordinator.flusher.wait_until_written()
        assert coordinator.lost_claims.searches == 2
        assert await acount(status="picked") == 1
