"""Run the real statements, which `guards.py` transcribes, on rows of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks import task_actions
from taskmaster.tasks.errors import IllegalTransition
from taskmaster.tasks.messages import Completion, Failure, Lease, QueueName, Release, Start
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as store
from tests.factories import in_s
from tests.property.protocol.guards import Call, transcribed
from tests.property.protocol.laws import Law, broken_by_call
from tests.property.protocol.state import Row, Rules

_T = TypeVar("_T")

_COORDINATOR, _WORKER = 100, 200
_INSERT = """
INSERT INTO taskmaster_tasks_task
    (id, name, queue, max_attempts, timeout_s, retry_base_s, status, lease, attempt, coordinator,
     worker, worker_id, on_lost_contact, result, unused_leases, scheduled_at, waiting_reason,
     waiting_for)
SELECT
    id, 'shell', 'queue-' || id, max_attempts, 0, 0, status, lease, attempt, coordinator,
    'w', worker_id, CASE WHEN stop THEN 'stop' ELSE 'continue' END, to_json(result), unused, now(),
    CASE status WHEN 'waiting' THEN 'unknown_name' ELSE '' END,
    CASE status WHEN 'waiting' THEN 'shell' ELSE '' END
FROM
    unnest(
        %s::bigint[], %s::text[], %s::bigint[], %s::int[], %s::int[], %s::uuid[], %s::uuid[],
        %s::bool[], %s::int[], %s::int[]
    ) AS row (
        id, status, lease, attempt, max_attempts, coordinator, worker_id, stop, result, unused
    )
"""
_SELECT = """
SELECT
    status, lease, attempt, max_attempts, coordinator, worker_id, on_lost_contact = 'stop', result,
    unused_leases
FROM taskmaster_tasks_task
ORDER BY id
"""


def _uuid(number: int | None, base: int) -> UUID | None:
    return None if number is None else UUID(int=base + number)


def _number(uuid: UUID | None, base: int) -> int | None:
    return None if uuid is None else uuid.int - base


class Database:
    """The test database, with only the rows of the model; their ids are 1, 2, 3, …"""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.connection: Connection = self._runner.run(
            psycopg.AsyncConnection.connect(conninfo(), autocommit=True)
        )

    def close(self) -> None:
        """Close the connection."""
        self.run(self.connection.close())
        self._runner.close()

    def run(self, work: Awaitable[_T]) -> _T:
        """Run a coroutine to its end."""

        async def wait() -> _T:
            return await work

        return self._runner.run(wait())

    def fill(self, rows: Sequence[Row]) -> None:
        """Replace all rows."""
        self.run(self.connection.execute("TRUNCATE taskmaster_tasks_task"))
        columns = [
            list(range(1, len(rows) + 1)),
            [row.status for row in rows],
            [row.lease for row in rows],
            [row.attempt for row in rows],
            [row.max_attempts for row in rows],
            [_uuid(row.coordinator, _COORDINATOR) for row in rows],
            [_uuid(row.worker, _WORKER) for row in rows],
            [row.stop for row in rows],
            [row.result for row in rows],
            [row.unused for row in rows],
        ]
        self.run(self.connection.execute(_INSERT, columns))

    def rows(self) -> list[Row]:
        """Return all rows."""

        async def read() -> list[tuple[Any, ...]]:
            return await (await self.connection.execute(_SELECT)).fetchall()

        return [
            Row(*row[:4], _number(row[4], _COORDINATOR), _number(row[5], _WORKER), *row[6:])
            for row in self.run(read())
        ]

    # ---- the statements ---------------------------------------------------------------------

    def execute(self, calls: dict[int, Call]) -> set[int] | None:
        """Run one statement for these rows; their calls differ only where a batch may differ.

        Return the returned ids, or None if they do not matter.
        """
        call = next(iter(calls.values()))
        if call.name in ("cancel", "reschedule", "retry"):
            return {task_id for task_id in calls if self._asked(call.name, task_id)}
        return self.run(_STATEMENTS[call.name](self.connection, calls))

    @staticmethod
    def _asked(name: str, task_id: int) -> bool:
        with suppress(IllegalTransition):
            if name == "reschedule":
                task_actions.reschedule(task_id, in_s(0))
            else:
                getattr(task_actions, name)(task_id)
            return True
        return False


def _leases(calls: dict[int, Call]) -> list[Lease]:
    return [Lease(task_id, call.lease or 0) for task_id, call in calls.items()]


def _heads(calls: dict[int, Call]) -> list[tuple[Any, ...]]:
    """Return the fields that every report has: (task, lease, attempt, age), (worker, its id)."""
    return [
        ((task_id, call.lease, call.attempt, 0.0), ("w", _uuid(call.worker, _WORKER)), call.lease)
        for task_id, call in calls.items()
    ]


def _coordinator(calls: dict[int, Call]) -> UUID:
    [number] = {call.coordinator for call in calls.values()}
    return UUID(int=_COORDINATOR + (number or 0))


def _ids(rows: Sequence[Any]) -> set[int]:
    return {row.task_id for row in rows}


async def _claim(connection: Connection, calls: dict[int, Call]) -> set[int]:
    pairs = [
        x
        for x in await store.list_due_queues(connection)
        if int(x.queue.partition("-")[2]) in calls
    ]
    if not pairs:
        return set()
    low_marks = [pair.first_at for pair in pairs]
    me = _coordinator(calls)
    claimed = await store.claim_tasks(
        connection, pairs, low_marks=low_marks, within_s=60, limit=len(calls), coordinator=me
    )
    return {task.task_id for task in claimed}


async def _start(connection: Connection, calls: dict[int, Call]) -> set[int]:
    reports = [Start(*head, *worker) for head, worker, _ in _heads(calls)]
    return _ids(await store.start_attempts(connection, reports))


async def _complete(connection: Connection, calls: dict[int, Call]) -> set[int]:
    reports = [Completion(*head, 0.0, *worker, str(lease)) for head, worker, lease in _heads(calls)]
    return _ids(await store.complete_attempts(connection, reports))


async def _fail(connection: Connection, calls: dict[int, Call]) -> set[int]:
    reports = [
        Failure(*head, 0.0, *worker, "{}", final=False, pause_s=0.0)
        for head, worker, _ in _heads(calls)
    ]
    return _ids(await store.fail_attempts(connection, reports))


async def _release(connection: Connection, calls: dict[int, Call]) -> set[int]:
    releases = [
        Release(*lease, handed_back=call.begun, unused=call.unused)
        for lease, call in zip(_leases(calls), calls.values(), strict=True)
    ]
    return _ids(await store.release_tasks(connection, releases, _coordinator(calls)))


async def _park(connection: Connection, calls: dict[int, Call]) -> set[int]:
    return _ids(await store.park_tasks(connection, _leases(calls), _coordinator(calls)))


async def _unpark(connection: Connection, calls: dict[int, Call]) -> set[int]:
    names = [QueueName(f"queue-{task_id}", "shell") for task_id in calls]
    return _ids(await store.unpark_tasks(connection, names, limit=1_000_000))


async def _live(connection: Connection, calls: dict[int, Call]) -> set[int]:
    return {lease.task_id for lease in await store.filter_live_leases(connection, _leases(calls))}


async def _adopt(connection: Connection, calls: dict[int, Call]) -> set[int]:
    worker = _uuid(next(iter(calls.values())).worker, _WORKER)
    assert worker is not None
    adopted = await store.adopt_attempts(
        connection, _leases(calls), _coordinator(calls), "w", worker
    )
    return {each.task_id for each in adopted}


async def _release_held(connection: Connection, calls: dict[int, Call]) -> None:
    await store.release_held_tasks(connection, _coordinator(calls), only_future=False)


async def _rescue(connection: Connection, calls: dict[int, Call]) -> None:
    call = next(iter(calls.values()))
    worker = _uuid(call.worker, _WORKER)
    await store.rescue_orphans(connection, _coordinator(calls), worker, stoppable=call.stoppable)


_STATEMENTS: dict[str, Callable[[Connection, dict[int, Call]], Awaitable[set[int] | None]]] = {
    "claim": _claim,
    "start": _start,
    "complete": _complete,
    "fail": _fail,
    "release": _release,
    "park": _park,
    "unpark": _unpark,
    "live": _live,
    "adopt": _adopt,
    "release_held": _release_held,
    "rescue": _rescue,
}


class SqlLedger:
    """The ledger of the machine: one row of the database, changed by the real statements.

    Each result is compared with the transcription; broken laws are recorded.
    """

    def __init__(self, database: Database, task_id: int, rules: Rules) -> None:
        self.rules = rules
        self.broken: set[Law] = set()
        self._database = database
        self._task_id = task_id

    def apply(self, row: Row, call: Call) -> tuple[Row, bool]:
        """Run the statement; return the row afterwards, and whether the guard matched."""
        ids = self._database.execute({self._task_id: call})
        after = self._database.rows()[self._task_id - 1]
        # A statement for a whole coordinator changed this row together with that of another task.
        passed = after != row if ids is None else self._task_id in ids
        expected = transcribed(row, call, self.rules)
        assert after == (row if expected is None else expected), f"{call} of {row} gave {after}"
        if ids is not None:
            assert passed == (expected is not None), f"{call} of {row} passed: {passed}"
        self.broken.update(broken_by_call(row, call, after, passed))
        return after, passed
