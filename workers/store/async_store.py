"""Run the statements about workers and join tokens for the coordinators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.statements import Connection, statement

_SQL = "taskmaster.workers.sql"


class Registration(NamedTuple):
    """Hold the fields that a worker sends once, in its hello."""

    id: UUID
    name: str
    host: str
    pid: int
    executor: str
    #: Name of the worker pool that counts this worker. Empty: none.
    pool: str
    queues: list[str]
    slots: int
    #: Id of the join token that admitted the worker. None: it needed none.
    join_token: int | None = None
    #: Task names that the worker knows. None: it announced none, and takes every task.
    tasks: list[str] | None = None


class WorkerHeartbeat(NamedTuple):
    """Hold the fields that a worker sends with every heartbeat."""

    id: UUID
    slots: int
    busy: int
    rss_bytes: int
    cpu: float
    tasks_done: int
    tasks_failed: int
    loop_lag_ms: int
    draining: bool
    #: Whether it is the last one: the worker has finished and ends its stream.
    leaving: bool = False


class WorkerRequests(NamedTuple):
    """Hold the workers whose heartbeats were written, and the requests of operators for them."""

    registered: set[UUID]
    draining: set[UUID]
    #: Command by worker: stop or kill.
    commands: dict[UUID, str]


class CheckedJoinToken(NamedTuple):
    """Hold a join token. `fault` states why the worker must not join with it, or is empty."""

    id: int
    name: str
    fault: str


class NotAdmitted(TaskMasterError):
    """Raised when the join token does not admit this worker."""


async def register_worker(connection: Connection, worker: Registration, coordinator: UUID) -> None:
    """Insert the worker's row, or bring it back online."""
    await connection.execute(
        statement("register_worker", _SQL), {**worker._asdict(), "coordinator": coordinator}
    )


async def check_join_token(
    connection: Connection, digest: str, worker: UUID | None
) -> CheckedJoinToken | None:
    """Return the join token with this digest, checked for this worker.

    `worker` is None for a new worker. Returns None if no token has the digest.
    """
    parameters = {"digest": digest, "worker": worker}
    cursor = await connection.execute(statement("check_join_token", _SQL), parameters)
    row = await cursor.fetchone()
    return CheckedJoinToken._make(row) if row else None


async def use_join_token(connection: Connection, token: int, worker: UUID) -> None:
    """Take one use of a join token for a worker, unless it has joined with the token before.

    Raises NotAdmitted when the token is invalid or used up, or the worker joined differently
    before.
    """
    cursor = await connection.execute(
        statement("use_join_token", _SQL), {"token": token, "worker": worker}
    )
    if await cursor.fetchone() is None:
        raise NotAdmitted


async def list_invalid_join_tokens(connection: Connection, tokens: Sequence[int]) -> set[int]:
    """Return the join tokens that are no longer valid."""
    cursor = await connection.execute(
        statement("list_invalid_join_tokens", _SQL), {"ids": list(tokens)}
    )
    return {row[0] for row in await cursor.fetchall()}


async def write_worker_heartbeats(
    connection: Connection, beats: Sequence[WorkerHeartbeat], coordinator: UUID
) -> WorkerRequests:
    """Write a batch of heartbeats. Return the requests of operators for these workers.

    Nothing is written for a worker that is offline or registered with another coordinator.
    """
    names = (
        "ids",
        "slots",
        "busy",
        "rss_bytes",
        "cpu",
        "tasks_done",
        "tasks_failed",
        "loop_lags_ms",
        "draining",
        "leaving",
    )
    columns = map(list, zip(*beats, strict=True))
    parameters = dict(zip(names, columns, strict=True))
    cursor = await connection.execute(
        statement("write_worker_heartbeats", _SQL), {**parameters, "coordinator": coordinator}
    )
    rows = await cursor.fetchall()
    return WorkerRequests(
        {worker for worker, _, _ in rows},
        {worker for worker, drain, _ in rows if drain},
        {worker: command for worker, _, command in rows if command},
    )


async def update_missed_heartbeats(
    connection: Connection, misses: Mapping[UUID, int], coordinator: UUID
) -> None:
    """Write the number of consecutive heartbeats that each worker has missed."""
    parameters = {
        "ids": list(misses),
        "misses": list(misses.values()),
        "coordinator": coordinator,
    }
    await connection.execute(statement("update_missed_heartbeats", _SQL), parameters)


async def mark_workers_offline(
    connection: Connection, workers: Sequence[UUID], coordinator: UUID
) -> dict[UUID, str]:
    """Take workers offline that have left, unless another coordinator has taken them over.

    Return how each ended, under the names of `WorkerEnd`.
    """
    cursor = await connection.execute(
        statement("mark_workers_offline", _SQL), {"ids": list(workers), "coordinator": coordinator}
    )
    return dict(await cursor.fetchall())


async def mark_workers_offline_of(connection: Connection, coordinator: UUID) -> None:
    """Take the workers of a dead coordinator offline."""
    await connection.execute(
        statement("mark_workers_offline_of", _SQL), {"coordinator": coordinator}
    )


async def prune_workers(connection: Connection, *, kept: timedelta, batch: int) -> int:
    """Delete up to `batch` workers that are offline longer than `kept`. Return their number."""
    cursor = await connection.execute(
        statement("prune_workers", _SQL), {"kept_s": kept.total_seconds(), "batch": batch}
    )
    return cursor.rowcount
