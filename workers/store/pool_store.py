"""Run the statements about pools, their members and their load, for the reconciler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from taskmaster.tasks.statements import Connection, statement

_SQL = "taskmaster.workers.sql"


class PoolFindings(NamedTuple):
    """Hold the observed state of a pool and its consequences."""

    actual: int
    registered: int
    draining: int
    state: str
    error: str
    last_log: str
    failures: int
    #: Seconds until the next attempt, negative when it is due. None: nothing has failed.
    retry_in_s: float | None


class PoolRow(NamedTuple):
    """Hold the row of a pool. Times are seconds by the database's clock."""

    name: str
    provider: str
    desired: int
    concurrency: int
    executor: str
    queues: list[str]
    environment: dict[str, str]
    stop_limit_s: float
    found: PoolFindings
    #: Seconds since the last reconciliation. None: never.
    age_s: float | None
    #: Number of registered workers that are not asked to drain or stop.
    staying: int


class PoolLoad(NamedTuple):
    """Hold a pool with autoscaling, its bounds and settings, and the load of its workers."""

    name: str
    desired: int
    minimum: int
    maximum: int
    concurrency: int
    target_wait_s: float
    cool_down_s: float
    #: Number of due tasks in its queues, and the waiting time of the oldest.
    due: int
    oldest_wait_s: float
    #: Number of slots that run a task, and of tasks that the workers have ended.
    busy: int
    ended: int


class LocalMember(NamedTuple):
    """Hold a process and the state of its worker."""

    id: int
    name: str
    host: str
    #: None: the process is being started, or the coordinator that started it died before it could
    #: record the pid.
    pid: int | None
    born: int | None
    log_path: str
    age_s: float
    #: Seconds since the process was asked to stop. None: it was not.
    asked_age_s: float | None
    #: None: the worker is not registered, or is offline.
    worker_id: UUID | None
    worker_pid: int | None
    busy: int
    #: True: the worker drains, or an operator has asked it to drain, stop or kill itself.
    leaving: bool


class StartedMember(NamedTuple):
    """Hold a process that has just started."""

    id: int
    pid: int
    born: int


async def list_pools(connection: Connection) -> list[PoolRow]:
    """Return every pool, ordered by name."""
    rows = await _fetch(connection, "list_pools")
    return [PoolRow._make([*row[:8], PoolFindings._make(row[8:16]), *row[16:]]) for row in rows]


async def write_pool_status(connection: Connection, pool: PoolRow, findings: PoolFindings) -> None:
    """Write the findings, unless the desired number of workers has changed."""
    parameters = {**findings._asdict(), "name": pool.name, "desired": pool.desired}
    await _fetch(connection, "write_pool_status", parameters)


async def read_pool_loads(connection: Connection) -> list[PoolLoad]:
    """Return the load of every pool with autoscaling."""
    return [PoolLoad._make(row) for row in await _fetch(connection, "read_pool_loads")]


async def resize_pool(connection: Connection, pool: str, *, desired: int, count: int) -> bool:
    """Set the size of a pool with autoscaling. Return False if its size is no longer `desired`."""
    parameters = {"pool": pool, "desired": desired, "count": count}
    return bool(await _fetch(connection, "resize_pool", parameters))


async def list_members(connection: Connection, pool: str) -> list[LocalMember]:
    """Return all members of a pool, oldest first."""
    return [
        LocalMember._make(row) for row in await _fetch(connection, "list_members", {"pool": pool})
    ]


async def reserve_members(
    connection: Connection, pool: str, host: str, logs: Mapping[str, str]
) -> dict[str, int]:
    """Insert rows for processes that will be started. Return their ids by name.

    `logs` holds the log path of each name.
    """
    columns = {"names": list(logs), "log_paths": list(logs.values())}
    rows = await _fetch(connection, "reserve_members", {"pool": pool, "host": host, **columns})
    return {name: member_id for member_id, name in rows}


async def record_started_members(connection: Connection, started: Sequence[StartedMember]) -> None:
    """Record the pids of started processes."""
    ids, pids, borns = (list(column) for column in zip(*started, strict=True))
    columns = {"ids": ids, "pids": pids, "borns": borns}
    await _fetch(connection, "record_started_members", columns)


async def mark_members_stopping(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Record that these processes are asked to stop. Return the ids that were not asked before."""
    rows = await _fetch(connection, "mark_members_stopping", {"ids": list(ids)})
    return {row[0] for row in rows}


async def list_commanded_members(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Return the ids of the processes whose workers an operator had asked to drain or stop."""
    rows = await _fetch(connection, "list_commanded_members", {"ids": list(ids)})
    return {row[0] for row in rows}


async def stop_replaced_workers(connection: Connection, ids: Sequence[int]) -> None:
    """Make the workers of these members stop if they reconnect.

    Other workers are started in their place.
    """
    await _fetch(connection, "stop_replaced_workers", {"ids": list(ids)})


async def delete_members(connection: Connection, ids: Sequence[int]) -> None:
    """Delete the rows of processes that are gone."""
    await _fetch(connection, "delete_members", {"ids": list(ids)})


async def request_worker_command(connection: Connection, worker_id: UUID, command: str) -> None:
    """Record that a worker is to drain, undrain, stop or kill itself, as an operator can."""
    await _fetch(connection, "request_worker_command", {"id": worker_id, "command": command})


async def _fetch(
    connection: Connection, name: str, parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(statement(name, _SQL), parameters)
    return await cursor.fetchall() if cursor.description else []
