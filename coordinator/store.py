"""Runs the statements of `coordinator/sql/`."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from tasks.statements import statement
from tasks.store import Connection

_SQL = "coordinator.sql"


class Identity(NamedTuple):
    """Who this coordinator is. The lock key is a whole number of 63 bits."""

    id: UUID
    lock_key: int
    address: str
    host: str
    pid: int


class Peer(NamedTuple):
    """A coordinator that says it is online, perhaps this one."""

    id: UUID
    lock_key: int
    address: str


async def lock(connection: Connection, lock_key: int) -> None:
    """Takes the session-level lock that says this coordinator lives."""
    await connection.execute(statement("lock", _SQL), {"lock_key": lock_key})


async def register(connection: Connection, identity: Identity) -> None:
    """Makes the coordinator's row."""
    await connection.execute(statement("register", _SQL), identity._asdict())


async def heartbeat(
    connection: Connection, coordinator: UUID, *, held: int, in_flight: int
) -> list[Peer]:
    """Writes that it lives; returns all that are online."""
    parameters = {"id": coordinator, "held": held, "in_flight": in_flight}
    cursor = await connection.execute(statement("heartbeat", _SQL), parameters)
    return [Peer._make(row) for row in await cursor.fetchall()]


async def is_dead(connection: Connection, peer: Peer) -> bool:
    """Whether its lock is free; if so this transaction holds it until its end."""
    cursor = await connection.execute(statement("bury", _SQL), {"lock_key": peer.lock_key})
    row = await cursor.fetchone()
    return bool(row and row[0])


async def offline(connection: Connection, coordinator: UUID) -> None:
    """Marks it ended."""
    await connection.execute(statement("offline", _SQL), {"id": coordinator})
