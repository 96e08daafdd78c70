"""Runs the statements of `tasks/sql/`; nobody else writes a task's status.

The coordinator's side is asynchronous and batched, on its own connections; what a person or a
program asks for (`tasks.enqueue`, `tasks.operations`) runs on Django's connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from types import NoneType
from typing import Any, TypeAlias
from uuid import UUID

from psycopg import AsyncConnection

from tasks.events.event import NewEvent
from tasks.events.publish import columns
from tasks.reports import (
    Adopted,
    Capacity,
    Changed,
    Chunk,
    Claimed,
    Completion,
    Failure,
    Lease,
    Named,
    Pair,
    Release,
    Start,
    Written,
)
from tasks.statements import statement
from tasks.statistics.tally import Tally

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]

#: How PostgreSQL writes what needs no quotes within an array.
_BARE: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    float: float.__repr__,
    UUID: attrgetter("hex"),
    NoneType: lambda _: "NULL",
}


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


async def start(connection: Connection, reports: Sequence[Start]) -> list[Written]:
    """Writes begun attempts; returns those whose lease was live."""
    names = ("ids", "leases", "attempts", "started_ages_s", "workers", "worker_ids")
    rows = await _fetch(connection, "start", _columns(names, reports))
    return [Written._make(row) for row in rows]


async def complete(connection: Connection, reports: Sequence[Completion]) -> list[Written]:
    """Writes returned attempts; returns those whose lease was live."""
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
    rows = await _fetch(connection, "complete", _columns(names, reports))
    return [Written._make(row) for row in rows]


async def fail(connection: Connection, reports: Sequence[Failure]) -> list[Changed]:
    """Writes attempts that did not return; returns those whose lease was live."""
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
    return await _changed(connection, "fail", _columns(names, reports))


async def release(
    connection: Connection, releases: Sequence[Release], coordinator: UUID
) -> list[Changed]:
    """Puts a coordinator's tasks back; returns those whose lease was live."""
    columns = _columns(("ids", "leases", "begun"), releases)
    return await _changed(connection, "release", {**columns, "coordinator": coordinator})


async def release_held(connection: Connection, coordinator: UUID, *, future: bool) -> list[Changed]:
    """Puts back what a dead coordinator held or had offered, and returns it.

    `future`: only what is not due yet.
    """
    parameters = {"coordinator": coordinator, "future": future}
    return await _changed(connection, "release_held", parameters)


async def rescue(
    connection: Connection,
    coordinator: UUID,
    worker_id: UUID | None = None,
    *,
    stoppable: bool,
) -> list[Changed]:
    """Puts back, or fails, what a coordinator's lost worker ran, and returns it.

    Without a worker: what all workers of a dead coordinator ran. `stoppable`: also what its worker
    stops by itself when it loses contact.
    """
    parameters = {"coordinator": coordinator, "worker_id": worker_id, "stoppable": stoppable}
    return await _changed(connection, "rescue", parameters)


async def holders(connection: Connection) -> set[UUID]:
    """The coordinators that hold tasks in flight."""
    return {row[0] for row in await _fetch(connection, "holders", {})}


async def write_output(connection: Connection, chunks: Sequence[Chunk]) -> None:
    """Keeps output of live or ended leases; of stale ones it keeps nothing."""
    names = ("ids", "leases", "attempts", "seqs", "streams", "texts", "worker_ids")
    await connection.execute(statement("output"), _columns(names, chunks))


async def tally(connection: Connection, ended: Tally, source: UUID) -> None:
    """Adds what has ended to the statistics, in the transaction that writes it."""
    await connection.execute(statement("tally"), ended.parameters(source))


async def publish(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Stores events and tells the web processes."""
    await connection.execute(statement("publish"), columns(events))


async def forget_events(connection: Connection, kept: int) -> None:
    """Drops all but the newest events."""
    await connection.execute(statement("forget_events"), {"kept": kept})


async def watched(connection: Connection) -> set[int]:
    """The tasks that somebody looks at."""
    return await _ids(connection, "watched", {})


async def printed(connection: Connection, task_ids: Iterable[int]) -> None:
    """Tells the web processes that these watched tasks have new output."""
    await connection.execute(statement("printed"), {"ids": " ".join(map(str, task_ids))})


async def unfinished(connection: Connection) -> bool:
    """Whether any operation on many tasks waits or runs."""
    [row] = await _fetch(connection, "unfinished", {})
    return bool(row[0])


async def sleep(connection: Connection, coordinator: UUID) -> None:
    """From the commit on, submitters wake this coordinator."""
    await connection.execute(statement("sleep"), {"coordinator": coordinator})


async def write_capacity(
    connection: Connection, coordinator: UUID, capacity: Sequence[Capacity]
) -> None:
    """What this coordinator's workers can take, by queue; nothing takes it off the record."""
    names = ("queues", "workers", "slots", "free")
    columns = _columns(names, capacity) if capacity else {name: [] for name in names}
    await connection.execute(statement("queue_state"), {**columns, "coordinator": coordinator})


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


async def _changed(connection: Connection, name: str, parameters: dict[str, Any]) -> list[Changed]:
    return [Changed._make(row) for row in await _fetch(connection, name, parameters)]


async def _ids(connection: Connection, name: str, parameters: dict[str, Any]) -> set[int]:
    return {row[0] for row in await _fetch(connection, name, parameters)}


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    return dict(zip(names, map(_array, zip(*rows, strict=True)), strict=True))


def _array(column: Sequence[Any]) -> str | list[Any]:
    """A column for the statement, as PostgreSQL writes arrays where no element needs quotes.

    psycopg looks at each element by itself, which took a seventh of a coordinator's time.
    """
    kinds = set(map(type, column))
    if not kinds <= _BARE.keys():
        return list(column)
    return f"{{{','.join([_BARE[type(value)](value) for value in column])}}}"


def _lease_columns(leases: Sequence[Lease]) -> dict[str, Any]:
    return _columns(("ids", "leases"), leases)
