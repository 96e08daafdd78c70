"""What a worker says of itself, checked."""

from __future__ import annotations

import re
from uuid import UUID

from proto import taskmaster_pb2 as pb
from tasks.errors import InvalidField
from tasks.submission import queue_name
from workers.pools.names import NAME as POOL_NAME
from workers.store import Registration

SLOTS_MAX = 10_000
_QUEUES_MAX = 1_000
#: Of what is refused so much is repeated: gRPC's headers and the log's lines are short.
REPEAT_MAX = 200


def registration(hello: pb.WorkerHello) -> Registration:
    """The worker's row. Raises InvalidField."""
    _within("queues", len(hello.queues), 0, _QUEUES_MAX)
    return Registration(
        id=worker_id_of(hello.worker_id),
        name=_limited("name", hello.name, 100),
        host=_limited("host", hello.host, 255),
        pid=min(hello.pid, 2**31 - 1),
        pool=_one_of("pool", hello.pool, ("process", "threads", "async")),
        pool_name=_pool_name(hello.pool_name),
        queues=[queue_name(queue, at="queues.") for queue in hello.queues],
        slots=_within("slots", hello.slots, 1, SLOTS_MAX),
    )


def _pool_name(text: str) -> str:
    if text and not re.fullmatch(POOL_NAME, text):
        raise InvalidField("pool_name", f"is {text[:REPEAT_MAX]!r}; it must be a pool's name.")
    return text


def worker_id_of(text: str) -> UUID:
    """The id of a worker. Raises InvalidField."""
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
