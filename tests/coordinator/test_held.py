"""What waits for its due time: offered at the moment itself, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async

from coordinator.announcer import Announcer
from coordinator.database import Database, conninfo
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.held import Held
from tasks import operations, store
from tasks.conf import Settings
from tasks.lifecycle import Status
from tasks.reports import Claimed, Lease, Pair
from tests.coordinator.sample import claimed, connected, lease, sent
from tests.system.fleet import acount, until
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

ME = UUID(int=1)
CONF = Settings(hold_release_s=0.1, held_max=20)


class Keeper:
    """Held tasks with a real database, dispatcher and flusher around them."""

    def __init__(self, conf: Settings) -> None:
        self.database = Database(conninfo(), Settings())
        announcer = Announcer(self.database, conf)
        self.flusher = Flusher(self.database, conf, ME, announcer, on_pending=lambda: None)
        self.released: list[Lease] = []
        self.dispatcher = Dispatcher(
            conf,
            on_room=lambda: self.held.room_freed(),  # noqa: PLW0108 - it is made below
            on_release=self.flusher.release,
        )
        self.held = Held(self.database, self.dispatcher, conf, on_release=self.flusher.release)

    async def claim(self, within_s: float = 30.0) -> list[Claimed]:
        """Claims whatever is due within this time."""
        async with self.database.connection() as connection:
            pairs: list[Pair] = await store.scan(connection)
            sinces = [pair.first_at for pair in pairs]
            return await store.claim(
                connection, pairs, sinces=sinces, within_s=within_s, room=100, coordinator=ME
            )

    async def hold(self, count: int, due_in_s: float, **fields: object) -> list[Claimed]:
        """Stores, claims and holds so many tasks."""
        await sync_to_async(stored)(count, scheduled_at=in_s(due_in_s), **fields)
        tasks = await self.claim()
        self.held.push(tasks)
        return tasks


@asynccontextmanager
async def keeping(conf: Settings = CONF) -> AsyncIterator[Keeper]:
    keeper = Keeper(conf)
    await keeper.database.open()
    running = [asyncio.create_task(part.run()) for part in (keeper.held, keeper.flusher)]
    try:
        yield keeper
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await keeper.database.close()


async def until_stored(count: int, **filters: object) -> None:
    async with asyncio.timeout(5):
        while await acount(**filters) != count:
            await asyncio.sleep(0.01)


async def test_a_held_task_is_offered_at_its_time_and_not_before() -> None:
    loop = asyncio.get_running_loop()
    async with keeping() as keeper:
        link = connected(keeper.dispatcher)
        [task] = await keeper.hold(1, 0.4)
        held_at = loop.time()
        await until(lambda: link.outbox, 5)
        assert 0 <= loop.time() - held_at - task.due_in_s < 0.3
        assert [offer.task_id for offer in sent(link)] == [task.task_id]
        assert len(keeper.held) == 0


async def test_a_task_that_falls_due_earlier_overtakes_those_that_wait() -> None:
    async with keeping() as keeper:
        link = connected(keeper.dispatcher)
        [late] = await keeper.hold(1, 25.0)
        [soon] = await keeper.hold(1, 0.2)
        await until(lambda: link.outbox, 5)
        assert [offer.task_id for offer in sent(link)] == [soon.task_id]
        assert keeper.held.leases() == [lease(late)]


async def test_a_busy_worker_gets_no_due_task_and_the_task_goes_back() -> None:
    async with keeping() as keeper:
        busy = connected(keeper.dispatcher, slots=1)
        for _ in range(40):
            # Its tasks were short: others would be prefetched.
            keeper.dispatcher.ended(busy, [], mean_run_s=0.0001)
        keeper.dispatcher.offer([claimed(task_id=10**9)])
        sent(busy)
        [task] = await keeper.hold(1, 0.1)
        assert busy.room(CONF.prefetch_max) > 0
        await until_stored(1, pk=task.task_id, status=Status.PENDING, attempt=0, coordinator=None)
        assert not busy.outbox
        assert len(keeper.held) == 0


async def test_a_slot_that_is_freed_in_time_gets_the_due_task() -> None:
    async with keeping(Settings(hold_release_s=10.0)) as keeper:
        busy = connected(keeper.dispatcher, slots=1)
        before = claimed(task_id=10**9)
        keeper.dispatcher.offer([before])
        sent(busy)
        [task] = await keeper.hold(1, 0.0)
        await until(lambda: keeper.held._ready, 5)
        assert not busy.outbox
        keeper.dispatcher.ended(busy, [lease(before)], mean_run_s=1.0)
        await until(lambda: busy.outbox, 5)
        assert [offer.task_id for offer in sent(busy)] == [task.task_id]


async def test_due_tasks_are_offered_by_priority_then_by_time() -> None:
    async with keeping() as keeper:
        link = connected(keeper.dispatcher, slots=3)
        for priority, due_in_s in ((0, 0.1), (0, 0.3), (5, 0.3), (9, 0.4), (-1, 0.1)):
            await sync_to_async(stored)(priority=priority, scheduled_at=in_s(due_in_s))
        tasks = await keeper.claim()
        # They fall due in the same turn.
        keeper.held.push([task._replace(due_in_s=0.5) for task in tasks])
        await until(lambda: len(link.outbox) == 3, 5)
        assert [offer.priority for offer in sent(link)] == [9, 5, 0]
        best = sorted(tasks, key=lambda task: (-task.priority, task.scheduled_at))
        assert set(link.flights) == {task.task_id for task in best[:3]}
        await until_stored(2, status=Status.PENDING)


@pytest.mark.parametrize(
    "change",
    [operations.cancel, lambda task_id: operations.move(task_id, in_s(3_600))],
    ids=["cancelled", "moved"],
)
async def test_a_held_task_that_was_cancelled_or_moved_is_never_offered(
    change: Callable[[int], None],
) -> None:
    async with keeping() as keeper:
        link = connected(keeper.dispatcher)
        doomed, kept = await keeper.hold(2, 0.4)
        await sync_to_async(change)(doomed.task_id)
        await until(lambda: link.outbox, 5)
        assert [offer.task_id for offer in sent(link)] == [kept.task_id]
        assert len(keeper.held) == 0
        assert await acount(pk=doomed.task_id, status=Status.PICKED) == 0


async def test_a_task_whose_queue_nobody_serves_goes_back() -> None:
    async with keeping() as keeper:
        link = connected(keeper.dispatcher, queues=frozenset({"other"}))
        [task] = await keeper.hold(1, 0.1, queue="mine")
        await until_stored(1, pk=task.task_id, status=Status.PENDING)
        assert not link.outbox


async def test_due_tasks_outlive_a_broken_connection() -> None:
    async with keeping() as keeper:
        link = connected(keeper.dispatcher)
        [task] = await keeper.hold(1, 0.5)
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as killer:
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() "
                "AND application_name = 'taskmaster-coordinator' AND pid <> pg_backend_pid()"
            )
        await until(lambda: link.outbox, 10)
        assert [offer.task_id for offer in sent(link)] == [task.task_id]


async def test_no_more_is_held_than_the_limit() -> None:
    async with keeping() as keeper:
        assert keeper.held.room == CONF.held_max
        await keeper.hold(15, 25.0)
        assert (len(keeper.held), keeper.held.room) == (15, 5)
        keeper.held.push([claimed(due_in_s=25.0) for _ in range(9)])
        assert keeper.held.room == 0


async def test_all_that_is_held_is_let_go_at_the_end() -> None:
    async with keeping() as keeper:
        tasks = await keeper.hold(3, 25.0)
        assert sorted(keeper.held.clear()) == sorted(lease(task) for task in tasks)
        assert len(keeper.held) == 0
