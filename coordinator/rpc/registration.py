"""Validate what a worker states about itself: its hello, and the executions that it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from taskmaster.coordinator.reports import wire
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.messages import Lease
from taskmaster.tasks.options import queue_name
from taskmaster.tasks.registry import MAX_NAME
from taskmaster.workers.names import POOL_NAME
from taskmaster.workers.store.async_store import Registration

#: Most slots of a worker.
SLOTS_MAX = 10_000
#: Most executions that a worker may list: those in its slots, and as many that have ended but whose
#: reports are not yet acknowledged.
_RUNNING_MAX = 2 * SLOTS_MAX
#: Most queues that a worker may name.
_QUEUES_MAX = 1_000
#: Most task names that a worker may announce, and most bytes of all of them.
_TASKS_MAX = 10_000
_TASKS_BYTES_MAX = 1_000_000
#: Versions of the protocol between workers and coordinators that are accepted: the current one and
#: the one before, so that workers of the previous release keep working.
PROTOCOLS = range(1, 3)
#: The first version in which workers announce the task names that they know.
_ANNOUNCES_TASKS = 2
#: Most characters of a rejected value that are repeated in an error. gRPC headers and log lines
#: must stay short.
REPEAT_MAX = 200


def registration_of(hello: pb.WorkerHello) -> Registration:
    """Return the validated registration of a worker. Raises InvalidField."""
    _within("queues", len(hello.queues), 0, _QUEUES_MAX)
    return Registration(
        id=_worker_id(hello.worker_id),
        name=_limited("name", hello.name, 100),
        host=_limited("host", hello.host, 255),
        pid=min(hello.pid, 2**31 - 1),
        executor=_one_of("executor", hello.executor, ("process", "thread", "async")),
        pool=_pool(hello.pool),
        queues=[queue_name(queue, "queues.queue") for queue in hello.queues],
        tasks=_tasks(hello),
        slots=_within("slots", hello.slots, 1, SLOTS_MAX),
    )


def running_leases(executions: Sequence[pb.Execution]) -> dict[Lease, bytes]:
    """Return the validated leases of the executions that a worker lists, each with its token.

    Raises InvalidField.
    """
    if len(executions) > _RUNNING_MAX:
        raise InvalidField("running", f"must be at most {_RUNNING_MAX:,} executions.")
    leases = {Lease(each.task_id, each.lease): each.token for each in executions}
    wire.validate_leases(leases)
    return leases


def check_protocol(hello: pb.WorkerHello) -> str | None:
    """Return why the protocol version of a worker is refused, or None."""
    if hello.protocol in PROTOCOLS:
        return None
    return (
        f"protocol: version {hello.protocol} is not supported; this coordinator accepts versions "
        f"{PROTOCOLS[0]} to {PROTOCOLS[-1]}."
    )


def _tasks(hello: pb.WorkerHello) -> list[str] | None:
    """Return the names that the worker knows. None: its protocol has no names."""
    if hello.protocol < _ANNOUNCES_TASKS:
        return None
    _within("tasks", len(hello.tasks), 0, _TASKS_MAX)
    size = sum(len(name.encode()) for name in hello.tasks)
    if size > _TASKS_BYTES_MAX:
        raise InvalidField("tasks", f"has {size:,} bytes; the limit is {_TASKS_BYTES_MAX:,}.")
    return sorted({_limited("tasks", name, MAX_NAME) for name in hello.tasks})


def _pool(text: str) -> str:
    if text and not re.fullmatch(POOL_NAME, text):
        raise InvalidField(
            "pool", f"is {text[:REPEAT_MAX]!r}; it must be the name of a worker pool."
        )
    return text


def _worker_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidField("worker_id", "must be a UUID.") from None


def _limited(field: str, text: str, longest: int) -> str:
    if not 0 < len(text) <= longest or "\0" in text:
        raise InvalidField(field, f"must be text of 1 to {longest} characters.")
    return text


def _one_of(field: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise InvalidField(
            field, f"is {text[:REPEAT_MAX]!r}; it must be one of {', '.join(known)}."
        )
    return text


def _within(field: str, number: int, lowest: int, highest: int) -> int:
    if not lowest <= number <= highest:
        raise InvalidField(field, f"is {number}; it must be from {lowest} to {highest}.")
    return number
