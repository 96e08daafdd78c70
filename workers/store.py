"""Runs the statements of `workers/sql/` for the coordinators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from tasks.errors import TaskMasterError
from tasks.statements import statement
from tasks.store import Connection

_SQL = "workers.sql"


class Registration(NamedTuple):
    """What a worker says of itself once."""

    id: UUID
    name: str
    host: str
    pid: int
    pool: str
    #: The pool it counts for; empty: none.
    pool_name: str
    queues: list[str]
    slots: int
    #: The id of the join token that let it in; None: it needed none.
    join_token: int | None = None


class Beat(NamedTuple):
    """What a worker says of itself with every heartbeat."""

    id: UUID
    slots: int
    busy: int
    rss_bytes: int
    cpu: float
    tasks_done: int
    tasks_failed: int
    loop_lag_ms: int
    draining: bool


class Wishes(NamedTuple):
    """What operators want of workers."""

    draining: set[UUID]
    #: stop or kill.
    commands: dict[UUID, str]


class JoinToken(NamedTuple):
    """A join token, and what is against a worker's joining with it, in words (empty: nothing)."""

    id: int
    name: str
    fault: str


class NotAdmitted(TaskMasterError):
    """The join token does not let this worker in."""


async def register(connection: Connection, worker: Registration, coordinator: UUID) -> None:
    """Makes the worker's row, or brings it back online."""
    await connection.execute(
        statement("register", _SQL), {**worker._asdict(), "coordinator": coordinator}
    )


async def join_token(connection: Connection, digest: str, worker: UUID | None) -> JoinToken | None:
    """The join token of which this is kept, for this worker (None: for one that is new)."""
    parameters = {"digest": digest, "worker": worker}
    cursor = await connection.execute(statement("join_token", _SQL), parameters)
    row = await cursor.fetchone()
    return JoinToken._make(row) if row else None


async def admit(connection: Connection, token: int, worker: UUID) -> None:
    """Takes a use of a join token for a worker, unless it has joined with it before.

    Raises NotAdmitted when the token is invalid or used up, or the worker is another token's.
    """
    cursor = await connection.execute(statement("admit", _SQL), {"token": token, "worker": worker})
    if await cursor.fetchone() is None:
        raise NotAdmitted


async def dismissed(connection: Connection, tokens: Sequence[int]) -> set[int]:
    """Which of these join tokens are valid no more."""
    cursor = await connection.execute(statement("dismissed", _SQL), {"ids": list(tokens)})
    return {row[0] for row in await cursor.fetchall()}


async def heartbeat(connection: Connection, beats: Sequence[Beat], coordinator: UUID) -> Wishes:
    """Writes a batch of heartbeats; returns what operators want of these workers."""
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
    )
    columns = map(list, zip(*beats, strict=True))
    parameters = dict(zip(names, columns, strict=True))
    cursor = await connection.execute(
        statement("heartbeat", _SQL), {**parameters, "coordinator": coordinator}
    )
    rows = await cursor.fetchall()
    return Wishes(
        {worker for worker, drain, _ in rows if drain},
        {worker: command for worker, _, command in rows if command},
    )


async def count_misses(
    connection: Connection, misses: Mapping[UUID, int], coordinator: UUID
) -> None:
    """Writes how many heartbeats in a row each of these workers has missed."""
    parameters = {
        "ids": list(misses),
        "misses": list(misses.values()),
        "coordinator": coordinator,
    }
    await connection.execute(statement("misses", _SQL), parameters)


async def leave(connection: Connection, workers: Sequence[UUID], coordinator: UUID) -> None:
    """Takes workers offline that are gone and nobody else's."""
    await connection.execute(
        statement("leave", _SQL), {"ids": list(workers), "coordinator": coordinator}
    )


async def orphaned(connection: Connection, coordinator: UUID) -> None:
    """Takes offline what a dead coordinator left behind."""
    await connection.execute(statement("orphaned", _SQL), {"coordinator": coordinator})
