"""Test the messages for one worker: the size of an offer, batches of offers, and heartbeats."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from taskmaster.coordinator.dispatch import connections
from taskmaster.coordinator.dispatch.connections import (
    HEARTBEATS_MAX,
    WorkerConnection,
    offer_of,
)
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.messages import Lease
from tests.coordinator.sample import claimed, lease

TOKEN = bytes(range(240, 256))
COMMAND = "gzip -9 /srv/data/2030/01/31/measurement"


@pytest.fixture
def worker() -> WorkerConnection:
    return WorkerConnection(uuid4(), "heron", None, 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"task_id": 1},
        # A table that has seen a few thousand million tasks, and one that was often released.
        {"task_id": 5_000_000_000, "lease": 70_000, "attempt": 99, "max_attempts": 100},
        {"task_id": 2**62, "lease": 2**40, "priority": -100, "timeout_s": 30 * 86_400.0},
    ],
)
def test_a_forty_byte_command_takes_at_most_150_bytes(fields: dict[str, object]) -> None:
    assert len(COMMAND.encode()) == 40
    offer = offer_of(claimed(kwargs=json.dumps({"command": COMMAND}), **fields), TOKEN)
    assert json.loads(offer.kwargs) == {"command": COMMAND}
    assert offer.created_at_us > 0
    message = pb.CoordinatorMessage(offers=pb.Offers(offers=[offer]))
    assert message.ByteSize() <= 150


def test_an_offer_carries_the_fields_of_its_task() -> None:
    task = claimed(attempt=2, lease=8, args="[1]", kwargs="{}", on_lost_contact="stop")
    offer = offer_of(task, TOKEN)
    assert (offer.task_id, offer.lease, offer.attempt) == (task.task_id, 8, 3)
    assert (offer.name, offer.args, offer.kwargs) == ("shell", "[1]", "")
    assert (offer.queue, offer.timeout_ms, offer.max_attempts) == ("default", 3_600_000, 3)
    assert offer.stop_on_lost_contact
    assert offer.scheduled_for_us == 0


def test_an_offer_carries_the_due_time_of_its_schedule_exactly() -> None:
    due_at = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
    offer = offer_of(claimed(scheduled_for=due_at), TOKEN)
    assert datetime.fromtimestamp(offer.scheduled_for_us / 1e6, UTC) == due_at


def test_offers_are_sent_in_messages_of_limited_number_and_size(
    worker: WorkerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_OFFERS_MAX", 2)
    monkeypatch.setattr(connections, "_OFFER_BYTES_MAX", 1_000)
    for args in ("[]", "[]", "[]", f'["{"x" * 2_000}"]', "[]"):
        worker.add_offer(claimed(args=args), 0.0, TOKEN)
    # The limit of two, then the limit of bytes. An offer above that limit is sent alone.
    assert [len(worker.take_offers().offers) for _ in range(4)] == [2, 1, 1, 1]
    assert not worker.outbox


def test_a_task_is_in_flight_from_its_offer_to_its_removal(worker: WorkerConnection) -> None:
    task = claimed(lease=3)
    worker.add_offer(task, 10.0, TOKEN)
    assert worker.has(lease(task), 1, TOKEN)
    assert worker.has(lease(task), None, TOKEN)
    assert not worker.has(lease(task), 1, b"")
    assert not worker.has(lease(task), 1, TOKEN[::-1])
    assert not worker.has(lease(task), 2, TOKEN)
    assert not worker.has(Lease(task.task_id, 4), 1, TOKEN)
    assert worker.leases(accepted=False) == [lease(task)]
    worker.accept(Lease(task.task_id, 4))
    assert worker.expired_offers(10.5) == [lease(task)]
    worker.accept(lease(task))
    assert worker.expired_offers(10.5) == []
    assert worker.leases(accepted=True) == [lease(task)]
    assert not worker.remove(Lease(task.task_id, 4))
    assert worker.remove(lease(task))
    assert not worker.has(lease(task), 1, TOKEN)


def test_a_closed_connection_sends_nothing_more(worker: WorkerConnection) -> None:
    worker.add_offer(claimed(), 0.0, TOKEN)
    worker.send_stale([Lease(1, 1)])
    worker.send_stale([])
    assert len(worker.commands) == 1
    worker.close()
    assert worker.ready.is_set()
    assert not worker.outbox
    assert not worker.commands
    assert worker.capacity(10) == worker.free_slots == 0


def test_heartbeats_are_limited_per_interval(worker: WorkerConnection) -> None:
    allowed = [worker.allow_heartbeat(100.0, 5.0) for _ in range(HEARTBEATS_MAX + 2)]
    assert allowed == [True] * HEARTBEATS_MAX + [False] * 2
    assert worker.allow_heartbeat(105.0, 5.0)
