"""A task stays small on the wire."""

from __future__ import annotations

import json

import pytest

from coordinator.dispatcher import Dispatcher
from proto import taskmaster_pb2 as pb
from tasks.conf import Settings
from tests.coordinator.sample import claimed, connected, sent

COMMAND = "gzip -9 /srv/data/2030/01/31/measurement"


@pytest.mark.parametrize(
    "given",
    [
        {"task_id": 1},
        # A table that has seen a few thousand million tasks, and one that was often released.
        {"task_id": 5_000_000_000, "lease": 70_000, "attempt": 99, "max_attempts": 100},
        {"task_id": 2**62, "lease": 2**40, "priority": -100, "timeout_s": 30 * 86_400.0},
    ],
)
def test_a_forty_byte_command_takes_at_most_150_bytes(given: dict[str, object]) -> None:
    assert len(COMMAND.encode()) == 40
    dispatcher = Dispatcher(Settings(), on_room=lambda: None, on_release=lambda leases: None)
    link = connected(dispatcher)
    dispatcher.offer([claimed(kwargs=json.dumps({"command": COMMAND}), **given)])
    [offer] = sent(link)
    assert json.loads(offer.kwargs) == {"command": COMMAND}
    assert offer.created_at_us > 0
    message = pb.CoordinatorMessage(offers=pb.Offers(offers=[offer]))
    assert message.ByteSize() <= 150
