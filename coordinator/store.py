"""Run the statements in `coordinator/sql/`."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.statements import Connection, advisory_key, statement

_SQL = "taskmaster.coordinator.sql"
#: Key of the leader lock. One coordinator of a database holds it and reconciles the worker pools.
_LEADER_KEY = advisory_key("lead")


class Identity(NamedTuple):
    """Identify a coordinator process."""

    id: UUID
    #: host:port that workers and other coordinators use.
    address: str
    host: str
    pid: int


class CoordinatorHeartbeat(NamedTuple):
    """Hold the state of a coordinator for its heartbeat.

    Ages are in seconds. An age is None if the event has never happened.
    """

    held: int
    in_flight: int
    connections: int
    loop_lag_ms: int
    #: Seconds since the listener's last message, the last successful iteration of the claim loop,
    #: and the last successful flush.
    heard_age_s: float | None
    claimed_age_s: float | None
    flushed_age_s: float | None
    #: The current problems as text for an operator. Empty: there are none.
    health_problem: str


class Peer(NamedTuple):
    """Describe a coordinator whose row is online. It may be this one."""

    id: UUID
    address: str
    #: Seconds since its last heartbeat, by the database's clock.
    silent_s: float


def lock_key(coordinator: UUID) -> int:
    """Return the key of the advisory lock that a coordinator holds while it is alive."""
    return advisory_key(f"coordinator.{coordinator}")


async def read_last_seen(connection: Connection, coordinator: UUID) -> datetime | None:
    """Return the time of a coordinator's last heartbeat, or None if its row is gone."""
    cursor = await connection.execute(
        statement("read_last_seen", _SQL), {"coordinator": coordinator}
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def try_liveness_lock(connection: Connection, coordinator: UUID) -> bool:
    """Try to take the session-level lock that proves that this coordinator is alive.

    Return False if another session holds the lock.
    """
    cursor = await connection.execute(
        statement("try_liveness_lock", _SQL), {"lock_key": lock_key(coordinator)}
    )
    row = await cursor.fetchone()
    # The columns before the last are those of the statement's set_config calls.
    return bool(row and row[-1])


async def try_leader_lock(connection: Connection) -> bool:
    """Try to take the session-level leader lock. Return False if another session holds it."""
    cursor = await connection.execute(statement("try_leader_lock", _SQL), {"lock_key": _LEADER_KEY})
    row = await cursor.fetchone()
    return bool(row and row[0])


def list_leader_locks(*, using: str = DEFAULT_DB_ALIAS) -> set[int]:
    """Return the keys of the locks of the session that holds the leader lock, if any does.

    One of them is the `lock_key` of the coordinator that leads. Uses Django's connection.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(statement("list_leader_locks", _SQL), {"lock_key": _LEADER_KEY})
        return {row[0] for row in cursor.fetchall()}


async def register_coordinator(connection: Connection, identity: Identity) -> None:
    """Insert the coordinator's row."""
    parameters = {**identity._asdict(), "lock_key": lock_key(identity.id)}
    await connection.execute(statement("register_coordinator", _SQL), parameters)


async def write_coordinator_heartbeat(
    connection: Connection, coordinator: UUID, heartbeat: CoordinatorHeartbeat
) -> list[Peer]:
    """Write a heartbeat. Return all coordinators that are online, this one included."""
    parameters = {"id": coordinator, **heartbeat._asdict()}
    cursor = await connection.execute(statement("write_coordinator_heartbeat", _SQL), parameters)
    return [Peer._make(row) for row in await cursor.fetchall()]


async def check_coordinator_dead(
    connection: Connection, coordinator: UUID, *, suspect_s: float, silence_s: float
) -> bool:
    """Return whether a coordinator is dead.

    It is dead if its lock is free after `suspect_s` seconds of silence, after more than
    `silence_s` seconds of silence in any case, or if its row is not online. If the lock decides,
    this transaction holds it until its end.
    """
    parameters = {
        "id": coordinator,
        "lock_key": lock_key(coordinator),
        "suspect_s": suspect_s,
        "silence_s": silence_s,
    }
    cursor = await connection.execute(statement("check_coordinator_dead", _SQL), parameters)
    row = await cursor.fetchone()
    return bool(row and row[0])


async def mark_coordinator_offline(connection: Connection, coordinator: UUID) -> None:
    """Mark a coordinator as offline."""
    await connection.execute(statement("mark_coordinator_offline", _SQL), {"id": coordinator})


async def terminate_session(connection: Connection, coordinator: UUID) -> None:
    """Terminate the session that a dead coordinator may still have, and so release its locks."""
    await connection.execute(
        statement("terminate_session", _SQL), {"lock_key": lock_key(coordinator)}
    )


async def count_connections(connection: Connection) -> int:
    """Return the number of connections that this database has from all clients."""
    cursor = await connection.execute(statement("count_connections", _SQL))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def create_offer_key(connection: Connection, key: bytes, *, older_s: float) -> None:
    """Store a new key that signs offers, unless the newest is younger than `older_s` seconds."""
    parameters = {"key": key, "older_s": older_s}
    await connection.execute(statement("create_offer_key", _SQL), parameters)


async def delete_old_offer_keys(connection: Connection) -> None:
    """Delete all keys that sign offers but the two newest."""
    await connection.execute(statement("delete_old_offer_keys", _SQL))


async def list_offer_keys(connection: Connection) -> list[bytes]:
    """Return the two newest keys that sign offers, the newest first."""
    cursor = await connection.execute(statement("list_offer_keys", _SQL))
    return [bytes(row[0]) for row in await cursor.fetchall()]
