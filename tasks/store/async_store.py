"""Run the statements that a coordinator needs, on its own connections."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.messages import (
    AdoptedAttempt,
    ClaimedTask,
    Completion,
    EndedTasks,
    Failure,
    KnownByWorkers,
    Lease,
    OutputChunk,
    QueueCapacity,
    QueueName,
    QueuePriority,
    RecordedAttempt,
    Release,
    ReportedExecution,
    Start,
    TaskChange,
)
from taskmaster.tasks.statements import Connection, statement
from taskmaster.tasks.store.parameters import (
    array_literal,
    columns,
    depth_parameters,
    ended_parameters,
    event_parameters,
    lease_columns,
)


async def list_due_queues(connection: Connection) -> list[QueuePriority]:
    """Return the (queue, priority) pairs that have pending tasks, due or not."""
    return [QueuePriority._make(row) for row in await _fetch(connection, "list_due_queues", {})]


async def claim_tasks(
    connection: Connection,
    pairs: Sequence[QueuePriority],
    *,
    low_marks: Sequence[datetime],
    skipped: Sequence[Collection[str]] = (),
    within_s: float,
    limit: int,
    coordinator: UUID,
) -> list[ClaimedTask]:
    """Claim up to `limit` tasks of `pairs` that are due within `within_s` seconds.

    `low_marks` holds the low-water mark on `scheduled_at` of each pair, and `skipped` the names
    whose tasks are not claimed.
    """
    rows = await _fetch(
        connection,
        "claim_tasks",
        {
            "queues": [pair.queue for pair in pairs],
            "priorities": [pair.priority for pair in pairs],
            "low_marks": list(low_marks),
            "skipped": [array_literal(names) for names in skipped] or ["{}"] * len(pairs),
            "within_s": within_s,
            "limit": limit,
            "coordinator": coordinator,
        },
    )
    return [ClaimedTask._make(row) for row in rows]


async def list_claimed_leases(connection: Connection, coordinator: UUID) -> set[Lease]:
    """Return the leases of tasks that `coordinator` has claimed and no worker has accepted."""
    rows = await _fetch(connection, "list_claimed_leases", {"coordinator": coordinator})
    return {Lease._make(row) for row in rows}


async def filter_held_leases(connection: Connection, leases: Sequence[Lease]) -> set[int]:
    """Return the task ids of `leases` that are still held: neither cancelled nor moved."""
    return await _ids(connection, "filter_held_leases", lease_columns(leases))


async def filter_live_leases(connection: Connection, leases: Sequence[Lease]) -> set[Lease]:
    """Return the subset of `leases` that is still in flight."""
    rows = await _fetch(connection, "filter_live_leases", lease_columns(leases))
    return {Lease._make(row) for row in rows}


async def check_report_ownership(
    connection: Connection, worker_id: UUID, named: Sequence[tuple[int, int, int | None]]
) -> list[ReportedExecution]:
    """Return ownership and liveness of executions that a worker named.

    `named` holds (task, lease, attempt) triples. Executions whose task has another lease now are
    omitted.
    """
    parameters = {**columns(("ids", "leases", "attempts"), named), "worker_id": worker_id}
    rows = await _fetch(connection, "check_report_ownership", parameters)
    return [ReportedExecution(Lease(task_id, lease), *rest) for task_id, lease, *rest in rows]


async def adopt_attempts(
    connection: Connection,
    leases: Sequence[Lease],
    coordinator: UUID,
    worker: str,
    worker_id: UUID,
) -> list[AdoptedAttempt]:
    """Adopt the executions that a reconnecting worker lists, with status `started`.

    Leases that are not returned are stale.
    """
    parameters = {
        **lease_columns(leases),
        "coordinator": coordinator,
        "worker": worker,
        "worker_id": worker_id,
    }
    return [
        AdoptedAttempt._make(row) for row in await _fetch(connection, "adopt_attempts", parameters)
    ]


async def start_attempts(connection: Connection, reports: Sequence[Start]) -> list[RecordedAttempt]:
    """Write started attempts. Return the tasks whose lease was live."""
    names = ("ids", "leases", "attempts", "started_ages_s", "workers", "worker_ids")
    rows = await _fetch(connection, "start_attempts", columns(names, reports))
    return [RecordedAttempt._make(row) for row in rows]


async def complete_attempts(
    connection: Connection, reports: Sequence[Completion]
) -> list[RecordedAttempt]:
    """Write completed attempts. Return the tasks whose lease was live."""
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
    rows = await _fetch(connection, "complete_attempts", columns(names, reports))
    return [RecordedAttempt._make(row) for row in rows]


async def fail_attempts(connection: Connection, reports: Sequence[Failure]) -> list[TaskChange]:
    """Write failed attempts. Return the tasks whose lease was live."""
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
    return await _changed(connection, "fail_attempts", columns(names, reports))


async def release_tasks(
    connection: Connection, releases: Sequence[Release], coordinator: UUID
) -> list[TaskChange]:
    """Release tasks to `pending`. Return the tasks whose lease was live."""
    names = ("ids", "leases", "handed_back", "unused")
    parameters = {**columns(names, releases), "coordinator": coordinator}
    return await _changed(connection, "release_tasks", parameters)


async def release_held_tasks(
    connection: Connection, coordinator: UUID, *, only_future: bool
) -> list[TaskChange]:
    """Release and return the tasks that `coordinator` held or had offered.

    It is called for a dead coordinator, and by a coordinator that exits. With `only_future`,
    release only tasks that are not due yet.
    """
    parameters = {"coordinator": coordinator, "only_future": only_future}
    return await _changed(connection, "release_held_tasks", parameters)


async def park_tasks(
    connection: Connection, leases: Sequence[Lease], coordinator: UUID
) -> list[TaskChange]:
    """Park claimed tasks whose name no connected worker knows. Return those that were claimed."""
    parameters = {**lease_columns(leases), "coordinator": coordinator}
    return await _changed(connection, "park_tasks", parameters)


async def park_due_tasks(
    connection: Connection, unknown: Collection[ClaimedTask], *, limit: int
) -> list[TaskChange]:
    """Park the pending tasks of the same queue, priority and name that are due after these.

    Return the parked ones, at most `limit`.
    """
    first: dict[tuple[str, int, str], datetime] = {}
    for task in unknown:
        key = task.queue, task.priority, task.name
        first[key] = min(first.get(key, task.scheduled_at), task.scheduled_at)
    places = columns(("queues", "priorities", "names"), list(first))
    parameters = {**places, "low_marks": list(first.values()), "limit": limit}
    return await _changed(connection, "park_due_tasks", parameters)


async def unpark_tasks(
    connection: Connection, known: Collection[QueueName], *, limit: int
) -> list[TaskChange]:
    """Return parked tasks whose name is known now to their queues, at most `limit`."""
    parameters = {**columns(("queues", "names"), list(known)), "limit": limit}
    return await _changed(connection, "unpark_tasks", parameters)


async def list_waiting_names(connection: Connection) -> list[QueueName]:
    """Return queue and name of the tasks that are parked because of their name."""
    return [QueueName._make(row) for row in await _fetch(connection, "list_waiting_names", {})]


async def filter_known_names(
    connection: Connection, wanted: Collection[QueueName], *, silence_s: float
) -> set[QueueName]:
    """Return the subset of names that a connected worker of their queue knows.

    Coordinators that have not written for `silence_s` seconds are ignored.
    """
    parameters = {**columns(("queues", "names"), list(wanted)), "silence_s": silence_s}
    return {
        QueueName._make(row) for row in await _fetch(connection, "filter_known_names", parameters)
    }


async def filter_served_queues(
    connection: Connection, queues: Collection[str], *, silence_s: float
) -> set[str]:
    """Return the subset of queues that a connected worker serves.

    Coordinators that have not written for `silence_s` seconds are ignored.
    """
    parameters = {**columns(("queues",), [(each,) for each in queues]), "silence_s": silence_s}
    return {queue for (queue,) in await _fetch(connection, "filter_served_queues", parameters)}


async def replace_known_names(
    connection: Connection, coordinator: UUID, workers: Collection[KnownByWorkers]
) -> None:
    """Replace the names that this coordinator's workers know."""
    rows = [{"queues": _listed(each.queues), "names": _listed(each.names)} for each in workers]
    parameters = {"coordinator": coordinator, "workers": json.dumps(rows)}
    await connection.execute(statement("replace_known_names"), parameters)


async def rescue_orphans(
    connection: Connection,
    coordinator: UUID,
    worker_id: UUID | None = None,
    *,
    stoppable: bool,
) -> list[TaskChange]:
    """Rescue and return the tasks that a lost worker of `coordinator` ran.

    A task becomes `pending` while attempts are left, else `failed`. Without `worker_id`, rescue the
    tasks of all workers of a dead coordinator. With `stoppable`, include the tasks with
    `on_lost_contact="stop"`, which a worker stops when it loses contact.
    """
    parameters = {"coordinator": coordinator, "worker_id": worker_id, "stoppable": stoppable}
    return await _changed(connection, "rescue_orphans", parameters)


async def list_lease_holders(connection: Connection) -> set[UUID]:
    """Return the ids of coordinators that have tasks in flight."""
    return {row[0] for row in await _fetch(connection, "list_lease_holders", {})}


async def insert_output(
    connection: Connection, chunks: Sequence[OutputChunk]
) -> list[tuple[Lease, int]]:
    """Store output chunks. Return the lease and the size in bytes of each stored chunk.

    Chunks of stale leases are dropped; a lease may be live or ended.
    """
    names = ("ids", "leases", "attempts", "seqs", "streams", "texts", "worker_ids")
    rows = await _fetch(connection, "insert_output", columns(names, chunks))
    return [(Lease(task_id, lease), size) for task_id, lease, size in rows]


async def record_completions(connection: Connection, ended: EndedTasks, source: UUID) -> None:
    """Add ended attempts to the statistics, in the transaction that writes them."""
    await connection.execute(statement("record_completions"), ended_parameters(ended, source))


async def publish_events(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Store events and notify the web processes."""
    await connection.execute(statement("publish_events"), event_parameters(events))


async def snapshot_queue_depth(connection: Connection, *, fresh_s: float) -> float | None:
    """Count the tasks of each queue, unless the last count is younger than `fresh_s` seconds.

    Return the duration in seconds, or None if this process did not count.
    """
    rows = await _fetch(connection, "snapshot_queue_depth", depth_parameters(fresh_s))
    return rows[0][0] if rows else None


async def rollup_statistics(connection: Connection) -> None:
    """Sum the statistics that are older than the charts into one row."""
    await connection.execute(statement("rollup_statistics"))


async def list_watched_tasks(connection: Connection) -> set[int]:
    """Return the ids of tasks that a web process currently displays."""
    return await _ids(connection, "list_watched_tasks", {})


async def notify_output(connection: Connection, task_ids: Iterable[int]) -> None:
    """Notify the web processes that these watched tasks have new output."""
    await connection.execute(statement("notify_output"), {"ids": " ".join(map(str, task_ids))})


async def has_pending_operations(connection: Connection) -> bool:
    """Return whether any bulk operation is queued or running."""
    [row] = await _fetch(connection, "has_pending_operations", {})
    return bool(row[0])


async def mark_idle(connection: Connection, coordinator: UUID) -> None:
    """Mark this coordinator idle. After the commit, submitters wake it."""
    await connection.execute(statement("mark_idle"), {"coordinator": coordinator})


async def replace_capacity(
    connection: Connection, coordinator: UUID, capacity: Sequence[QueueCapacity]
) -> None:
    """Replace this coordinator's capacity rows, one for each queue.

    An empty `capacity` removes the coordinator from the table.
    """
    names = ("queues", "workers", "slots", "free")
    parameters = {**columns(names, capacity), "coordinator": coordinator}
    await connection.execute(statement("replace_capacity"), parameters)


async def notify_idle(connection: Connection) -> None:
    """Wake the idle coordinators."""
    await connection.execute(statement("notify_idle"))


async def mark_busy(connection: Connection, coordinator: UUID) -> None:
    """Mark this coordinator busy. Submitters no longer need to wake it."""
    await connection.execute(statement("mark_busy"), {"coordinator": coordinator})


async def _fetch(
    connection: Connection, name: str, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()


async def _changed(
    connection: Connection, name: str, parameters: dict[str, Any]
) -> list[TaskChange]:
    return [TaskChange._make(row) for row in await _fetch(connection, name, parameters)]


def _listed(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


async def _ids(connection: Connection, name: str, parameters: dict[str, Any]) -> set[int]:
    return {row[0] for row in await _fetch(connection, name, parameters)}
