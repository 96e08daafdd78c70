"""Test the validation of what a worker states about itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from taskmaster.coordinator.rpc.registration import (
    PROTOCOLS,
    check_protocol,
    registration_of,
    running_leases,
)
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.messages import Lease
from taskmaster.workers.daemon.connection.session import PROTOCOL

WORKER = UUID(int=7)


def hello(**fields: Any) -> pb.WorkerHello:
    values = {
        "worker_id": str(WORKER), "name": "heron", "host": "h", "pid": 12, "executor": "process",
        "queues": ["mail", "media"], "slots": 4,
    }  # fmt: skip
    return pb.WorkerHello(**(values | fields))


def test_a_valid_hello_becomes_a_registration() -> None:
    registration = registration_of(hello(pool="night", pid=2**32 - 1))
    assert (registration.id, registration.name, registration.host) == (WORKER, "heron", "h")
    assert (registration.queues, registration.slots) == (["mail", "media"], 4)
    assert registration.pool == "night"
    assert registration.pid == 2**31 - 1


def test_a_worker_announces_its_names_since_version_2() -> None:
    names = ["shop.tasks.send", "shell", "shell"]
    assert registration_of(hello(protocol=2, tasks=names)).tasks == ["shell", "shop.tasks.send"]
    # It can run nothing, which differs from a worker that announces nothing.
    assert registration_of(hello(protocol=2)).tasks == []
    assert registration_of(hello(protocol=1)).tasks is None


def test_this_protocol_version_and_the_one_before_are_accepted() -> None:
    refusals = [check_protocol(hello(protocol=version)) for version in range(4)]
    rule = "is not supported; this coordinator accepts versions 1 to 2."
    assert refusals == [f"protocol: version 0 {rule}", None, None, f"protocol: version 3 {rule}"]
    assert PROTOCOLS[-1] == PROTOCOL


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"worker_id": "heron"}, "worker_id: must be a UUID."),
        ({"name": ""}, "name: must be text of 1 to 100 characters."),
        ({"name": "a\0b"}, "name: must be text of 1 to 100 characters."),
        ({"host": "h" * 256}, "host: must be text of 1 to 255 characters."),
        ({"slots": 0}, "slots: is 0; it must be from 1 to 10000."),
        ({"queues": ["q"] * 1_001}, "queues: is 1001; it must be from 0 to 1000."),
        ({"executor": "fork"}, "executor: is 'fork'; it must be one of process, thread, async."),
        ({"protocol": 2, "tasks": ["t"] * 10_001}, "tasks: is 10001; it must be from 0 to 10000."),
        ({"protocol": 2, "tasks": ["t" * 201]}, "tasks: must be text of 1 to 200 characters."),
        ({"protocol": 2, "tasks": ["a\0b"]}, "tasks: must be text of 1 to 200 characters."),
        ({"protocol": 2, "tasks": ["é" * 200] * 2_501}, "tasks: has 1,000,400 bytes; the limit"),
        ({"pool": "no spaces"}, "pool: is 'no spaces'; it must be the name of a worker"),
    ],
)
def test_an_invalid_field_is_named_with_its_rule(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidField) as caught:
        registration_of(hello(**fields))
    assert str(caught.value).startswith(error)


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(InvalidField) as caught:
        registration_of(hello(pool="p" * 1_000_000))
    assert len(str(caught.value)) < 300


def test_running_executions_become_leases() -> None:
    execution = pb.Execution(task_id=5, lease=2, token=b"t" * 16)
    assert running_leases([execution]) == {Lease(5, 2): b"t" * 16}


@pytest.mark.parametrize(("task_id", "lease"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_an_impossible_lease_is_refused(task_id: int, lease: int) -> None:
    with pytest.raises(InvalidField, match="task_id, lease: must be positive"):
        running_leases([pb.Execution(task_id=task_id, lease=lease)])


def test_too_many_running_executions_are_refused() -> None:
    with pytest.raises(InvalidField, match="running: must be at most 20,000 executions"):
        running_leases([pb.Execution(task_id=1, lease=1)] * 20_001)
