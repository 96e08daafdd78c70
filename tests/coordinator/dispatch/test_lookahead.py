"""Test that held tasks are offered when they fall due, or released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch.connections import offer_of
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks import task_actions
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import ClaimedTask, Lease, QueuePriority
from taskmaster.tasks.store import async_store as store
from tests.coordinator.sample import claimed, connected, lease, sent, sign
from tests.factories import in_s, stored
from tests.system.fleet import acount
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

ME = UUID(int=1)
CONF = Settings(hold_release_s=0.1, held_max=20)


class LookaheadParts:
    """A look-ahead queue with a real database, dispatcher and flusher."""

    def __init__(self, conf: Settings) -> None:
        self.database = Database(conninfo(), Settings())
        publisher = EventPublisher(self.database)
        self.flusher = Flusher(self.database, conf, ME, publisher, on_pending=lambda: None)
        #: The leases of each release of the look-ahead queue.
        self.released: list[Sequence[Lease]] = []
        self.dispatcher = Dispatcher(
            conf,
            on_capacity_freed=lambda: self.lookahead.capacity_freed(),  # noqa: PLW0108 - built below
            on_release=self.flusher.release,
            sign=sign,
        )
        self.lookahead = LookaheadQueue(
            self.database, self.dispatcher, conf, on_release=self._release
        )

    def _release(self, leases: Sequence[Lease]) -> None:
        self.released.append(leases)
        self.flusher.release_held(leases)

    async def claim(self, within_s: float = 30.0) -> list[ClaimedTask]:
        """Claim the tasks that are due within this time."""
        async with self.database.connection() as connection:
            pairs: list[QueuePriority] = await store.list_due_queues(connection)
            low_marks = [pair.first_at for pair in pairs]
            return await store.claim_tasks(
                connection, pairs, low_marks=low_marks, within_s=within_s, limit=100, coordinator=ME
            )

    async def hold(self, count: int, due_in_s: float, **fields: object) -> list[ClaimedTask]:
        """Store, claim and hold `count` tasks."""
        await sync_to_async(stored)(count, scheduled_at=in_s(due_in_s), **fields)
        tasks = await self.claim()
        self.lookahead.push(tasks)
        return tasks


@asynccontextmanager
async def running_parts(conf: Settings = CONF) -> AsyncIterator[LookaheadParts]:
    parts = LookaheadParts(conf)
    await parts.database.open()
    running = [asyncio.create_task(part.run()) for part in (parts.lookahead, parts.flusher)]
    try:
        yield parts
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await parts.database.close()


async def until_stored(count: int, **filters: object) -> None:
    async with asyncio.timeout(15):
        while await acount(**filters) != count:
            await asyncio.sleep(0.01)


async def test_a_held_task_is_offered_when_it_is_due_and_not_earlier() -> None:
    loop = asyncio.get_running_loop()
    async with running_parts() as parts:
        worker = connected(parts.dispatcher)
        [task] = await parts.hold(1, 0.4)
        held_at = loop.time()
        await until(lambda: worker.outbox)
        assert loop.time() - held_at >= task.due_in_s
        assert [offer.task_id for offer in sent(worker)] == [task.task_id]
        assert len(parts.lookahead) == 0


async def test_a_task_that_is_due_earlier_is_offered_first() -> None:
    async with running_parts() as parts:
        worker = connected(parts.dispatcher)
        [late] = await parts.hold(1, 25.0)
        [soon] = await parts.hold(1, 0.2)
        await until(lambda: worker.outbox)
        assert [offer.task_id for offer in sent(worker)] == [soon.task_id]
        assert parts.lookahead.leases() == [lease(late)]


async def test_a_due_task_without_a_free_slot_is_released() -> None:
    async with running_parts() as parts:
        busy = connected(parts.dispatcher, slots=1)
        for _ in range(40):
            # Its tasks were short, so it has a prefetch.
            parts.dispatcher.record_ended(busy, [], mean_run_s=0.0001)
        parts.dispatcher.offer([claimed(task_id=10**9)])
        sent(busy)
        [task] = await parts.hold(1, 0.1)
        assert busy.capacity(CONF.prefetch_max) > 0
        await until_stored(1, pk=task.task_id, status=Status.PENDING, attempt=0, coordinator=None)
        assert not busy.outbox
        assert len(parts.lookahead) == 0
        # No attempt has run, so the next one need not be confirmed before it runs.
        [again] = await parts.claim()
        assert (again.lease, again.unused_leases) == (2, 1)
        assert offer_of(again, b"").unused_leases == 1


async def test_a_slot_that_becomes_free_in_time_gets_the_due_task() -> None:
    async with running_parts(Settings(hold_release_s=10.0)) as parts:
        busy = connected(parts.dispatcher, slots=1)
        before = claimed(task_id=10**9)
        parts.dispatcher.offer([before])
        sent(busy)
        [task] = await parts.hold(1, 0.0)
        await until(lambda: parts.lookahead._ready)
        assert not busy.outbox
        parts.dispatcher.record_ended(busy, [lease(before)], mean_run_s=1.0)
        await until(lambda: busy.outbox)
        assert [offer.task_id for offer in sent(busy)] == [task.task_id]


async def test_due_tasks_are_offered_by_priority_then_by_time() -> None:
    async with running_parts() as parts:
        worker = connected(parts.dispatcher, slots=3)
        for priority, due_in_s in ((0, 0.1), (0, 0.3), (5, 0.3), (9, 0.4), (-1, 0.1)):
            await sync_to_async(stored)(priority=priority, scheduled_at=in_s(due_in_s))
        tasks = await parts.claim()
        # They fall due in the same iteration.
        parts.lookahead.push([task._replace(due_in_s=0.5) for task in tasks])
        await until(lambda: len(worker.outbox) == 3)
        assert [offer.priority for offer in sent(worker)] == [9, 5, 0]
        best = sorted(tasks, key=lambda task: (-task.priority, task.scheduled_at))
        assert set(worker.in_flight) == {task.task_id for task in best[:3]}
        await until_stored(2, status=Status.PENDING)


async def test_more_due_tasks_than_slots_use_half_of_the_prefetch() -> None:
    async with running_parts(Settings(hold_release_s=10.0, prefetch_max=10)) as parts:
        worker = connected(parts.dispatcher, slots=2)
        for _ in range(40):
            parts.dispatcher.record_ended(worker, [], mean_run_s=0.0001)
        await parts.hold(20, 0.3)
        await until(lambda: worker.outbox)
        assert len(sent(worker)) == 2 + 10 // 2
        assert worker.capacity(10) == 10 // 2


async def test_due_tasks_that_start_soon_at_the_present_pace_are_kept() -> None:
    async with running_parts() as parts:
        worker = connected(parts.dispatcher, slots=2)
        await parts.hold(15, 0.3)
        # Two were offered, so eight of the others are kept. As none starts then, they follow.
        await until(lambda: len(parts.released) == 2)
        assert list(map(len, parts.released)) == [5, 8]
        assert len(sent(worker)) == 2


@pytest.mark.parametrize(
    "change",
    [task_actions.cancel, lambda task_id: task_actions.reschedule(task_id, in_s(3_600))],
    ids=["cancelled", "rescheduled"],
)
async def test_a_held_task_that_was_cancelled_or_rescheduled_is_never_offered(
    change: Callable[[int], None],
) -> None:
    async with running_parts() as parts:
        worker = connected(parts.dispatcher)
        doomed, kept = await parts.hold(2, 0.4)
        await sync_to_async(change)(doomed.task_id)
        await until(lambda: worker.outbox)
        assert [offer.task_id for offer in sent(worker)] == [kept.task_id]
        assert len(parts.lookahead) == 0
        assert await acount(pk=doomed.task_id, status=Status.PICKED) == 0


async def test_a_due_task_that_is_cancelled_while_it_waits_for_a_slot_is_dropped() -> None:
    async with running_parts(Settings(hold_release_s=0.2, held_max=20)) as parts:
        worker = connected(parts.dispatcher, slots=1)
        tasks = await parts.hold(4, 0.1)
        await until(lambda: worker.outbox)
        [first] = sent(worker)
        doomed, *others = [task for task in tasks if task.task_id != first.task_id]
        await sync_to_async(task_actions.cancel)(doomed.task_id)
        # One was offered, so the others are kept once. They are released later, as none starts.
        await until(lambda: len(parts.lookahead) == 0, 10)
        released = {each.task_id for leases in parts.released for each in leases}
        assert released == {task.task_id for task in others}


async def test_a_due_task_whose_queue_no_worker_serves_is_released() -> None:
    async with running_parts() as parts:
        worker = connected(parts.dispatcher, queues=frozenset({"other"}))
        [task] = await parts.hold(1, 0.1, queue="mine")
        await until_stored(1, pk=task.task_id, status=Status.PENDING)
        assert not worker.outbox


async def test_due_tasks_survive_a_broken_connection() -> None:
    async with running_parts() as parts:
        worker = connected(parts.dispatcher)
        [task] = await parts.hold(1, 0.5)
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as killer:
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() "
                "AND application_name = 'taskmaster-coordinator' AND pid <> pg_backend_pid()"
            )
        await until(lambda: worker.outbox, 10)
        assert [offer.task_id for offer in sent(worker)] == [task.task_id]


async def test_the_capacity_is_the_rest_of_held_max() -> None:
    async with running_parts() as parts:
        assert parts.lookahead.capacity == CONF.held_max
        await parts.hold(15, 25.0)
        assert (len(parts.lookahead), parts.lookahead.capacity) == (15, 5)
        parts.lookahead.push([claimed(due_in_s=25.0) for _ in range(9)])
        assert parts.lookahead.capacity == 0


async def test_clear_returns_the_leases_of_all_held_tasks() -> None:
    async with running_parts() as parts:
        tasks = await parts.hold(3, 25.0)
        assert sorted(parts.lookahead.clear()) == sorted(lease(task) for task in tasks)
        assert len(parts.lookahead) == 0
