"""Claimed tasks, connected workers and a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from coordinator.dispatcher import Dispatcher
from coordinator.links import Link
from proto import taskmaster_pb2 as pb
from tasks.reports import Adopted, Claimed, Lease

_ids = count(1)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def claimed(**fields: object) -> Claimed:
    """A claimed task; `task_id` is a new one unless given."""
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
    return Claimed(**{**defaults, **fields})  # type: ignore[arg-type]


def connected(
    dispatcher: Dispatcher,
    *,
    slots: int = 2,
    queues: frozenset[str] | None = None,
    running: Sequence[tuple[Lease, Adopted]] = (),
) -> Link:
    """A worker that has just said hello."""
    link = Link(uuid4(), "w", queues, slots)
    dispatcher.connect(link, running)
    return link


def sent(link: Link) -> list[pb.Offer]:
    """Takes what waits to be sent to the worker."""
    offers = list(link.outbox)
    link.outbox.clear()
    return offers


def lease(task: Claimed | pb.Offer) -> Lease:
    """The lease of a task or of its offer."""
    return Lease(task.task_id, task.lease)
