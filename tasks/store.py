"""Runs the statements of `tasks/sql/`; nobody else writes a task's status.

The coordinator's side is asynchronous and batched, on its own connections; what a person or a
program asks for (`tasks.enqueue`, `tasks.operations`) runs on Django's connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from psycopg import AsyncConnection

from tasks.reports import (
    Adopted,
    Chunk,
    Claimed,
    Completion,
    Failure,
    Lease,
    Named,
    Pair,
    Release,
    Start,
)
from tasks.statements import statement

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]


async def scan(connection: Connection) -> list[Pair]:
    """The (queue, priority) pairs that have pending tasks."""
    return [Pair._make(row) for row in await _fetch(connection, "scan", {})]


async def claim(
    connection: Connection,
    pairs: Sequence[Pair],
    *,
    sinces: Sequence[datetime],
    within_s: float,
    room: int,
    coordinator: UUID,
) -> list[Claimed]:
    """Claims up to `room` tasks of these pairs that are due `within_s` seconds from now."""
    rows = await _fetch(
        connection,
        "claim",
        {
            "queues": [pair.queue for pair in pairs],
            "priorities": [pair.priority for pair in pairs],
            "sinces": list(sinces),
            "within_s": within_s,
            "room": room,
            "coordinator": coordinator,
        },
    )
    return [Claimed._make(row) for row in rows]


async def picked(connection: Connection, coordinator: UUID) -> set[Lease]:
    """What this coordinator has claimed and no worker has accepted."""
    rows = await _fetch(connection, "picked", {"coordinator": coordinator})
    return {Lease._make(row) for row in rows}


async def still_held(connection: Connection, leases: Sequence[Lease]) -> set[int]:
    """The ids of those held tasks that were neither cancelled nor moved."""
    return await _ids(connection, "dispatch", _lease_columns(leases))


async def live(connection: Connection, leases: Sequence[Lease]) -> set[Lease]:
    """Those of these leases that are in flight."""
    return {Lease._make(row) for row in await _fetch(connection, "live", _lease_columns(leases))}


async def own(
    connection: Connection, worker_id: UUID, named: Sequence[tuple[int, int, int | None]]
) -> list[Named]:
    """What a worker named, as (task, lease, attempt); left out is what has another lease by now."""
    columns = _columns(("ids", "leases", "attempts"), named)
    rows = await _fetch(connection, "own", {**columns, "worker_id": worker_id})
    return [Named(Lease(task_id, lease), *rest) for task_id, lease, *rest in rows]


async def adopt(
    connection: Connection,
    leases: Sequence[Lease],
    coordinator: UUID,
    worker: str,
    worker_id: UUID,
) -> list[Adopted]:
    """Takes over what a worker says it has, as started; what is not returned is stale."""
    parameters = {
        **_lease_columns(leases),
        "coordinator": coordinator,
        "worker": worker,
        "worker_id": worker_id,
    }
    return [Adopted._make(row) for row in await _fetch(connection, "adopt", parameters)]


async def start(connection: Connection, reports: Sequence[Start]) -> set[int]:
    """Writes begun attempts; returns the ids of those whose lease was live."""
    names = ("ids", "leases", "attempts", "started_ages_s", "workers", "worker_ids")
    return await _ids(connection, "start", _columns(names, reports))


async def complete(connection: Connection, reports: Sequence[Completion]) -> set[int]:
    """Writes returned attempts; returns the ids of those whose lease was live."""
    names = (
        "ids",
        "leases",
        "attempts",
        "started_ages_s",
        "finished_ages_s",
        "workers",
        "worker_ids",
        "results",
    )
    return await _ids(connection, "complete", _columns(names, reports))


async def fail(connection: Connection, reports: Sequence[Failure]) -> set[int]:
    """Writes attempts that did not return; returns the ids of those whose lease was live."""
    names = (
        "ids",
        "leases",
        "attempts",
        "started_ages_s",
        "finished_ages_s",
        "workers",
        "worker_ids",
        "errors",
        "finals",
        "pauses_s",
    )
    return await _ids(connection, "fail", _columns(names, reports))


async def release(
    connection: Connection, releases: Sequence[Release], coordinator: UUID
) -> set[int]:
    """Puts a coordinator's tasks back; returns the ids of those whose lease was live."""
    columns = _columns(("ids", "leases", "begun"), releases)
    return await _ids(connection, "release", {**columns, "coordinator": coordinator})


async def release_held(connection: Connection, coordinator: UUID, *, future: bool) -> set[int]:
    """Puts back what a dead coordinator held or had offered; returns the ids.

    `future`: only what is not due yet.
    """
    return await _ids(connection, "release_held", {"coordinator": coordinator, "future": future})


async def rescue(
    connection: Connection,
    coordinator: UUID,
    worker_id: UUID | None = None,
    *,
    stoppable: bool,
) -> set[int]:
    """Puts back, or fails, what a coordinator's lost worker ran; returns the ids.

    Without a worker: what all workers of a dead coordinator ran. `stoppable`: also what its worker
    stops by itself when it loses contact.
    """
    parameters = {"coordinator": coordinator, "worker_id": worker_id, "stoppable": stoppable}
    return await _ids(connection, "rescue", parameters)


async def holders(connection: Connection) -> set[UUID]:
    """The coordinators that hold tasks in flight."""
    return {row[0] for row in await _fetch(connection, "holders", {})}


async def write_output(connection: Connection, chunks: Sequence[Chunk]) -> None:
    """Keeps output of live or ended leases; of stale ones it keeps nothing."""
    names = ("ids", "leases", "attempts", "seqs", "streams", "texts", "worker_ids")
    await connection.execute(statement("output"), _columns(names, chunks))


async def sleep(connection: Connection, coordinator: UUID) -> None:
    """From the commit on, submitters wake this coordinator."""
    await connection.execute(statement("sleep"), {"coordinator": coordinator})


async def wake(connection: Connection) -> None:
    """Wakes the coordinators that sleep."""
    await connection.execute(statement("wake"))


async def stay_awake(connection: Connection, coordinator: UUID) -> None:
    """Submitters need not wake this coordinator."""
    await connection.execute(statement("stay_awake"), {"coordinator": coordinator})


async def _fetch(
    connection: Connection, name: str, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()


async def _ids(connection: Connection, name: str, parameters: dict[str, Any]) -> set[int]:
    return {row[0] for row in await _fetch(connection, name, parameters)}


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _lease_columns(leases: Sequence[Lease]) -> dict[str, Any]:
    return _columns(("ids", "leases"), leases)
