"""Builders for tests: claimed tasks, connected workers, a dispatcher and a manual clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.offer_expiry import OfferExpiry
from taskmaster.coordinator.support.database import Database
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import AdoptedAttempt, ClaimedTask, Lease, QueuePriority
from taskmaster.tasks.store import async_store as store
from tests.factories import stored

_ids = count(1)


class Clock:
    """A monotonic clock that tests advance by hand. `now` is in seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def sign(worker_id: UUID, task_id: int, lease: int) -> bytes:
    """Return a token for an offer, as `OfferTokens.sign` does."""
    return f"{worker_id}{task_id} {lease}".encode()[-16:]


def token_of(worker: WorkerConnection, lease: Lease) -> bytes:
    """Return the token of an execution of this worker."""
    return sign(worker.id, *lease)


class RecordedDispatcher:
    """A dispatcher with its offer expiry, and the calls that it made to other parts."""

    def __init__(self, conf: Settings) -> None:
        self.clock = Clock()
        self.released: list[Lease] = []
        self.capacity_calls = 0
        self.acknowledgements_late = False
        self.dispatcher = Dispatcher(
            conf,
            on_capacity_freed=self._count_capacity_call,
            on_release=self._record_release,
            sign=sign,
            clock=self.clock,
        )
        self.offer_expiry = OfferExpiry(
            self.dispatcher,
            conf,
            acknowledgements_late=lambda: self.acknowledgements_late,
            clock=self.clock,
        )

    def _count_capacity_call(self) -> None:
        self.capacity_calls += 1

    def _record_release(self, leases: Sequence[Lease]) -> None:
        self.released.extend(leases)


def claimed(**fields: object) -> ClaimedTask:
    """Build a claimed task. `task_id` is a new one unless given."""
    now = datetime.now(UTC)
    defaults: dict[str, object] = {
        "task_id": next(_ids),
        "lease": 1,
        "attempt": 0,
        "max_attempts": 3,
        "name": "shell",
        "args": "[]",
        "kwargs": '{"command":"true"}',
        "queue": "default",
        "priority": 0,
        "timeout_s": 3_600.0,
        "scheduled_at": now,
        "due_in_s": 0.0,
        "created_at": now,
        "on_lost_contact": "continue",
    }
    return ClaimedTask(**{**defaults, **fields})  # type: ignore[arg-type]


def connected(
    dispatcher: Dispatcher,
    *,
    slots: int = 2,
    queues: frozenset[str] | None = None,
    names: Collection[str] | None = None,
    running: Sequence[tuple[Lease, AdoptedAttempt]] = (),
) -> WorkerConnection:
    """Connect a new worker to the dispatcher."""
    known = None if names is None else frozenset(names)
    worker = WorkerConnection(uuid4(), "w", queues, slots, known)
    dispatcher.connect(worker, running, {lease: token_of(worker, lease) for lease, _ in running})
    return worker


def sent(worker: WorkerConnection) -> list[pb.Offer]:
    """Remove and return the offers that wait to be sent to the worker."""
    offers = list(worker.outbox)
    worker.outbox.clear()
    return offers


def lease(task: ClaimedTask | pb.Offer) -> Lease:
    """Return the lease of a task or of its offer."""
    return Lease(task.task_id, task.lease)


async def claim(
    database: Database, coordinator: UUID, count: int = 1, **fields: object
) -> list[ClaimedTask]:
    """Store `count` tasks and claim them for a coordinator."""
    ids = await sync_to_async(stored)(count, **fields)
    first_at = datetime.now(UTC) - timedelta(hours=1)
    async with database.connection() as connection:
        tasks = await store.claim_tasks(
            connection,
            [QueuePriority(str(fields.get("queue", "default")), 0, first_at, -1.0)],
            low_marks=[first_at],
            within_s=30.0,
            limit=count,
            coordinator=coordinator,
        )
    assert sorted(task.task_id for task in tasks) == ids
    return tasks
