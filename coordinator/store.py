"""Runs the statements of `coordinator/sql/`."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from tasks.statements import statement
from tasks.store import Connection

_SQL = "coordinator.sql"
#: Of all coordinators of a database one holds it: the one that reconciles pools.
_LEAD = 0x7461736B6577


class Identity(NamedTuple):
    """Who this coordinator is."""

    id: UUID
    address: str
    host: str
    pid: int


class Beat(NamedTuple):
    """How a coordinator fares. Ages are seconds, None for what has never been."""

    held: int
    in_flight: int
    connections: int
    loop_lag_ms: int
    #: Since the listener last heard itself, a claim turn and a flush last succeeded.
    heard_age_s: float | None
    claimed_age_s: float | None
    flushed_age_s: float | None
    #: What is wrong, for a person; empty when all is well.
    complaint: str


class Peer(NamedTuple):
    """A coordinator that says it is online, perhaps this one."""

    id: UUID
    address: str
    #: Seconds since it was heard of, by the database's clock.
    silent_s: float


def lock_key(coordinator: UUID) -> int:
    """The key of its advisory lock: a whole number of 63 bits, since PostgreSQL's has 64 signed."""
    return coordinator.int >> 65


async def lock(connection: Connection, coordinator: UUID) -> bool:
    """Takes the session-level lock that says this coordinator lives, unless another session has it.

    Returns whether it did.
    """
    cursor = await connection.execute(statement("lock", _SQL), {"lock_key": lock_key(coordinator)})
    row = await cursor.fetchone()
    return bool(row and row[-1])


async def lead(connection: Connection) -> bool:
    """Takes the session-level lock of the one that reconciles pools; returns whether it did."""
    cursor = await connection.execute(statement("lead", _SQL), {"lock_key": _LEAD})
    row = await cursor.fetchone()
    return bool(row and row[0])


async def register(connection: Connection, identity: Identity) -> None:
    """Makes the coordinator's row."""
    parameters = {**identity._asdict(), "lock_key": lock_key(identity.id)}
    await connection.execute(statement("register", _SQL), parameters)


async def heartbeat(connection: Connection, coordinator: UUID, beat: Beat) -> list[Peer]:
    """Writes that it lives; returns all that are online."""
    parameters = {"id": coordinator, **beat._asdict()}
    cursor = await connection.execute(statement("heartbeat", _SQL), parameters)
    return [Peer._make(row) for row in await cursor.fetchall()]


async def is_dead(
    connection: Connection, coordinator: UUID, *, suspect_s: float, silence_s: float
) -> bool:
    """Whether it is dead: its lock is free after `suspect_s` of silence, or `silence_s` are over.

    A lock that was free is this transaction's until its end.
    """
    parameters = {
        "id": coordinator,
        "lock_key": lock_key(coordinator),
        "suspect_s": suspect_s,
        "silence_s": silence_s,
    }
    cursor = await connection.execute(statement("bury", _SQL), parameters)
    row = await cursor.fetchone()
    return bool(row and row[0])


async def offline(connection: Connection, coordinator: UUID) -> None:
    """Marks it ended."""
    await connection.execute(statement("offline", _SQL), {"id": coordinator})


async def evict(connection: Connection, coordinator: UUID) -> None:
    """Ends the session of a dead coordinator that has one still, and so its locks."""
    await connection.execute(statement("evict", _SQL), {"lock_key": lock_key(coordinator)})


async def server_connections(connection: Connection) -> int:
    """How many connections this database has in all."""
    cursor = await connection.execute(statement("connections", _SQL))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
