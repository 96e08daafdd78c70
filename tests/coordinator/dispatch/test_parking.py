"""Test which tasks are parked, which stay pending, and when parked tasks return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch import parking
from taskmaster.coordinator.dispatch.claimer import Claimer
from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.dispatch.parking import Parking
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.liveness.capacity import CapacityWriter
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks import task_actions
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import Lease, Release
from taskmaster.tasks.models import Event, KnownNames, Task
from taskmaster.tasks.store import async_store, sync_store
from tests.coordinator.sample import RecordedDispatcher, claim, connected, sent
from tests.factories import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

OLD, NEW = {"old.task"}, {"old.task", "new.task"}


class Bench:
    """One coordinator without its loops: tests call the steps of its claimer and of its parking."""

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
        held = LookaheadQueue(
            database, self.dispatcher, conf, on_release=self.recorded.released.extend
        )
        self.claimer = Claimer(
            database,
            self.dispatcher,
            held,
            self.parking,
            conf,
            self.id,
            self.publisher,
            on_refuse=lambda task, reason: None,
            clock=self.clock,
        )
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
        """Claim once, after a fresh scan, and release what the dispatcher releases."""
        self.claimer._scanned_at = float("-inf")
        await self.claimer._claim_all()
        released, self.recorded.released[:] = list(self.recorded.released), []
        releases = [Release(*each, handed_back=False, unused=True) for each in released]
        async with self.database.connection() as connection:
            await async_store.release_tasks(connection, releases, self.id)

    def reserved(self) -> set[str]:
        return set().union(*self.parking._reserved.values())


@pytest_asyncio.fixture
async def database() -> AsyncIterator[Database]:
    made = Database(conninfo(), Settings())
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(1, database)


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


async def test_a_due_task_of_an_unknown_name_is_parked_and_others_are_offered(
    bench: Bench,
) -> None:
    worker = await bench.connect(OLD)
    ids = await store("new.task", "old.task", "new.task")
    await bench.claim()
    assert offered(worker) == [ids[1]]
    assert bench.claimer.claims == 1
    fields = ("status", "waiting_reason", "waiting_for", "coordinator", "picked_at", "attempt")
    parked = ("waiting", "unknown_name", "new.task", None, None, 0)
    assert await rows([ids[0], ids[2]], *fields) == [parked, parked]
    await bench.publisher.publish()
    events = Event.objects.filter(kind="parked").values_list("task_id", flat=True)
    assert {each async for each in events} == {ids[0], ids[2]}
    claims = bench.claimer.claims
    await bench.claim()
    # No claim reads them any more.
    assert bench.claimer.claims == claims


async def test_a_backlog_of_an_unknown_name_is_parked_together(bench: Bench) -> None:
    worker = await bench.connect(OLD, slots=2)
    backlog = await store(*["new.task"] * 20)
    [future] = await store("new.task", scheduled_at=in_s(3_600))
    [behind] = await store("old.task")
    await bench.claim()
    assert set(await rows(backlog, "status", "attempt")) == {("waiting", 0)}
    await bench.claim()
    assert offered(worker) == [behind]
    assert await rows([future], "status") == ["pending"]


async def test_more_tasks_than_one_statement_changes_are_parked_and_return(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "_BATCH", 3)
    await bench.connect(OLD, slots=2)
    ids = await store(*["new.task"] * 12)
    await bench.claim()
    assert set(await rows(ids, "status")) == {"waiting"}
    await bench.connect(NEW)
    assert set(await rows(ids, "status")) == {"pending"}


async def test_a_task_stays_pending_while_no_worker_serves_its_queue(bench: Bench) -> None:
    await bench.connect(OLD, queues=frozenset({"mail"}))
    ids = await store("new.task") + await store("new.task", queue="mail")
    await bench.claim()
    assert await rows(ids, "status") == ["pending", "waiting"]


async def test_a_task_whose_last_worker_has_left_since_the_claim_is_released(bench: Bench) -> None:
    worker = await bench.connect(OLD)
    [group] = bench.dispatcher.capacities()
    [task] = await claim(bench.database, bench.id, name="old.task")
    bench.dispatcher.disconnect(worker)
    await bench.write()
    await bench.parking.settle([task], group)
    assert bench.recorded.released == [Lease(task.task_id, task.lease)]
    assert await rows([task.task_id], "status") == ["picked"]


async def test_exactly_the_tasks_that_a_new_worker_can_run_return(bench: Bench) -> None:
    await bench.connect(OLD)
    ids = await store("new.task", "other.task") + await store("new.task", queue="mail")
    await bench.claim()
    assert await rows(ids, "status") == ["waiting"] * 3
    before = await rows(ids, "scheduled_at")
    worker = await bench.connect(NEW, queues=frozenset({"default"}))
    assert await rows(ids, "status") == ["pending", "waiting", "waiting"]
    assert await rows(ids, "waiting_reason", "waiting_for") == [
        ("", ""), ("unknown_name", "other.task"), ("unknown_name", "new.task"),
    ]  # fmt: skip
    after = await rows(ids, "scheduled_at")
    # Its position is new, so that no low-water mark is above it.
    assert after[0] > max(before)
    assert after[1:] == before[1:]
    await bench.claim()
    assert offered(worker) == [ids[0]]


@pytest.mark.parametrize("names", [None, {"new.task"}])
async def test_parked_tasks_return_to_a_worker_that_ends_its_drain_or_announces_no_names(
    bench: Bench, names: set[str] | None
) -> None:
    await bench.connect(OLD)
    late = await bench.connect(names)
    late.draining = True
    await bench.write()
    ids = await store("new.task")
    await bench.claim()
    assert await rows(ids, "status") == ["waiting"]
    late.draining = False
    await bench.write()
    assert await rows(ids, "status") == ["pending"]


async def test_tasks_of_a_busy_worker_are_not_claimed_in_circles(bench: Bench) -> None:
    old = await bench.connect(OLD, slots=4)
    new = await bench.connect(NEW, slots=1)
    ids = await store(*["new.task"] * 5, "old.task")
    for _ in range(4):
        await bench.claim()
    assert [offered(old), offered(new)] == [[ids[5]], [ids[0]]]
    leases = await rows(ids, "lease")
    for _ in range(4):
        await bench.claim()
    assert await rows(ids, "lease") == leases
    # Each waiting task was claimed at most once for the workers that do not know it.
    assert max(leases) <= 2
    assert await rows(ids[1:5], "status") == ["pending"] * 4
    # The slot is free again.
    bench.dispatcher.record_ended(new, [Lease(ids[0], leases[0])], None)
    await bench.claim()
    assert offered(new) == [ids[1]]
    assert offered(old) == []


async def test_tasks_for_a_worker_of_another_coordinator_are_left_to_it(
    bench: Bench, database: Database
) -> None:
    other = Bench(2, database)
    await bench.connect(OLD)
    worker = await other.connect(NEW)
    await other.write()
    ids = await store("new.task")
    for _ in range(3):
        await bench.claim()
    assert await rows(ids, "status", "lease") == [("pending", 1)]
    assert bench.reserved() == {"new.task"}
    await other.claim()
    assert offered(worker) == [ids[0]]


async def test_tasks_of_a_reserved_name_are_parked_when_its_last_worker_leaves(
    bench: Bench,
) -> None:
    await bench.connect(OLD)
    new = await bench.connect(NEW, slots=1)
    running, *ids = await store("new.task", "new.task")
    for _ in range(3):
        await bench.claim()
    assert bench.reserved() == {"new.task"}
    assert offered(new) == [running]
    bench.dispatcher.disconnect(new)
    await bench.write()
    await bench.parking._iterate()
    assert bench.reserved() == set()
    await bench.claim()
    assert await rows(ids, "status") == ["waiting"]


async def test_only_the_leader_returns_forgotten_tasks(bench: Bench) -> None:
    await bench.connect(OLD)
    ids = await store("new.task")
    await bench.claim()
    # A coordinator has died between the two steps of its worker's hello.
    await KnownNames.objects.all().aupdate(names=["new.task"])
    await bench.parking._iterate()
    assert await rows(ids, "status") == ["waiting"]
    bench.leads = True
    await bench.parking._iterate()
    assert await rows(ids, "status") == ["pending"]


async def test_a_worker_that_connects_while_its_task_is_parked_gets_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.connect(OLD)
    ids = await store("new.task")
    park = async_store.park_tasks

    async def hello_before_parking(*args: Any) -> Any:
        await KnownNames.objects.all().aupdate(names=["new.task"])
        return await park(*args)

    monkeypatch.setattr(async_store, "park_tasks", hello_before_parking)
    await bench.claim()
    assert await rows(ids, "status") == ["pending"]


async def test_skipped_tasks_do_not_hide_others_that_return(bench: Bench) -> None:
    old = await bench.connect(OLD)
    new = await bench.connect(NEW, slots=1)
    # The mark of the old worker is above the skipped tasks then.
    await store(*["new.task"] * 3)
    for _ in range(3):
        await bench.claim()
    [late] = await store("old.task", scheduled_at=in_s(-3_600))
    await sync_to_async(Task.objects.filter(pk=late).update)(scheduled_at=in_s(-3_600))
    await bench.claim()
    assert offered(old) == []
    bench.clock.now += 1.5
    await bench.claim()
    assert offered(old) == [late]
    assert len(offered(new)) == 1


async def test_changes_of_a_parked_task(bench: Bench) -> None:
    await bench.connect(OLD)
    cancelled, moved, raised, due, later = ids = await store(*["new.task"] * 5)
    await bench.claim()
    assert set(await rows(ids, "status")) == {"waiting"}

    def change() -> None:
        task_actions.cancel(cancelled)
        sync_store.requeue_tasks([moved], queue="mail")
        sync_store.requeue_tasks([raised], priority=9)
        task_actions.reschedule(due, in_s(0))
        task_actions.reschedule(later, in_s(3_600))

    await sync_to_async(change)()
    reason = ("unknown_name", "new.task")
    assert await rows(ids, "status", "waiting_reason", "waiting_for") == [
        ("cancelled", "", ""),
        ("pending", "", ""),
        ("waiting", *reason),
        ("pending", "", ""),
        ("pending", "", ""),
    ]
    await bench.claim()
    assert await rows(ids[1:], "status") == ["waiting", "waiting", "waiting", "pending"]
    await sync_to_async(task_actions.retry)(cancelled)
    await bench.claim()
    assert await rows([cancelled], "status", "waiting_for") == [("waiting", "new.task")]
