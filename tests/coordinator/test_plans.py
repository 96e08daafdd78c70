"""Test that the hot statements have the same plan with any statistics of the table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from psycopg import AsyncConnection, AsyncCursor, sql

from taskmaster.coordinator.pruning import pace
from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.bulk.runner import CHUNK
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.messages import (
    Completion,
    Failure,
    Lease,
    OutputChunk,
    QueueName,
    QueuePriority,
    Release,
    Start,
)
from taskmaster.tasks.retention import Retention
from taskmaster.tasks.statements import Connection, statement
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.store.parameters import prune_parameters
from tests.coordinator.sample import claimed
from tests.factories import in_s

pytestmark = pytest.mark.django_db(transaction=True)

ME = UUID(int=1)
WORKER = UUID(int=2)
#: Rows of the history, and of what is alive.
FINISHED, ALIVE = 45_000, 5_000
#: Statuses of the rows that are alive, or were.
STATUSES = ("pending", "picked", "started", "failed", "cancelled", "waiting")
#: Indexes, each with the columns that it is asked for.
FIRST = "idx_tasks_scheduled_at ()"
NEXT_PAIR = "idx_tasks_scheduled_at (queue, priority)"
RANGE = "idx_tasks_scheduled_at (queue, priority, scheduled_at)"
BY_ID = "taskmaster_tasks_task_pkey (id)"
IN_FLIGHT = "taskmaster_tasks_in_flight (coordinator)"
FIRST_HOLDER = "taskmaster_tasks_in_flight ()"
PARKED = "taskmaster_tasks_waiting (queue, waiting_reason, waiting_for)"
FIRST_PARKED = "taskmaster_tasks_waiting (waiting_reason)"
NEXT_PARKED = PARKED
COLUMNS = (
    "id", "queue", "priority", "scheduled_at", "coordinator", "status", "lease", "waiting_reason",
    "waiting_for",
)  # fmt: skip

_INDEXES = (
    "taskmaster_tasks_task_", "idx_tasks_", "taskmaster_tasks_in_flight",
    "taskmaster_tasks_waiting",
)  # fmt: skip
INTENDED = {
    "list_due_queues": {FIRST, NEXT_PAIR},
    "claim_tasks": {RANGE, BY_ID},
    "filter_held_leases": {BY_ID},
    "filter_live_leases": {BY_ID},
    "check_report_ownership": {BY_ID},
    "adopt_attempts": {BY_ID},
    "start_attempts": {BY_ID},
    "complete_attempts": {BY_ID},
    "fail_attempts": {BY_ID},
    "release_tasks": {BY_ID},
    "insert_output": {BY_ID},
    "rescue_orphans": {IN_FLIGHT},
    "release_held_tasks": {IN_FLIGHT},
    "release_paused_tasks": {IN_FLIGHT, BY_ID},
    "list_lease_holders": {FIRST_HOLDER, IN_FLIGHT},
    "cancel_tasks": {BY_ID},
    "retry_tasks": {BY_ID},
    "reschedule_tasks": {BY_ID},
    "requeue_tasks": {BY_ID},
    "delete_tasks": {BY_ID},
    "prune_tasks": {BY_ID},
    "park_tasks": {BY_ID},
    "park_due_tasks": {RANGE, BY_ID},
    "unpark_tasks": {PARKED, BY_ID},
    "list_waiting_names": {FIRST_PARKED, NEXT_PARKED},
}


# ---- the table ------------------------------------------------------------------------------


def run(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


def fill(count: int, status: str, *, queues: int = 4) -> None:
    """Insert `count` tasks of a status, in a few queues and priorities."""
    run(f"""
        INSERT INTO taskmaster_tasks_task
            (name, queue, priority, status, max_attempts, timeout_s, scheduled_at, lease,
             coordinator, worker_id, waiting_reason, waiting_for)
        SELECT 'shell', 'queue-' || n % {queues}, n % 3, '{status}', 3, 60,
            now() - make_interval(secs => n), 1, '{UUID(int=7)}', '{WORKER}',
            CASE '{status}' WHEN 'waiting' THEN 'unknown_name' ELSE '' END,
            CASE '{status}' WHEN 'waiting' THEN 'shell' ELSE '' END
        FROM generate_series(1, {count}) AS n
    """)


def fill_all() -> None:
    fill(FINISHED, "complete")
    for status in STATUSES:
        fill(ALIVE // 5, status)


def analysed_while_empty() -> None:
    run("ANALYZE taskmaster_tasks_task")
    fill_all()


def analysed_while_all_was_finished() -> None:
    fill(FINISHED, "complete")
    run("ANALYZE taskmaster_tasks_task")
    for status in STATUSES:
        fill(ALIVE // 5, status)


def analysed_while_all_was_in_flight() -> None:
    fill(ALIVE, "started")
    run("ANALYZE taskmaster_tasks_task")
    run("UPDATE taskmaster_tasks_task SET status = 'complete'")
    fill_all()


def analysed_now() -> None:
    fill_all()
    run("ANALYZE taskmaster_tasks_task")


@pytest.fixture
def statistics_stay_as_they_are(transactional_db: None) -> Iterator[None]:
    # Without the dead rows of tests before, which were rolled back.
    run("TRUNCATE taskmaster_tasks_task CASCADE")
    run("ALTER TABLE taskmaster_tasks_task SET (autovacuum_enabled = off)")
    yield
    run("ALTER TABLE taskmaster_tasks_task RESET (autovacuum_enabled)")


# ---- the plans ------------------------------------------------------------------------------


class ExplainingCursor(AsyncCursor[tuple[Any, ...]]):
    """Record the plan of each statement for its parameters. Return no rows."""

    plans: list[dict[str, Any]] = []

    async def execute(self, query: Any, params: Any = None, **options: Any) -> ExplainingCursor:
        await super().execute(f"EXPLAIN (FORMAT JSON) {query}", params, **options)
        row = await super().fetchone()
        assert row is not None
        self.plans.append(row[0][0]["Plan"])
        return self

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return []


class PreparingCursor(ExplainingCursor):
    """Execute each statement, and record the generic plan of its prepared form."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> ExplainingCursor:
        await AsyncCursor.execute(self, query, params, prepare=True)
        await AsyncCursor.execute(
            self,
            "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements "
            "WHERE NOT from_sql ORDER BY prepare_time DESC LIMIT 1",
            prepare=False,
        )
        row = await self.fetchone()
        assert row is not None
        name, count = row
        nulls = sql.SQL(", ").join([sql.SQL("NULL")] * count)
        arguments = sql.SQL("({})").format(nulls) if count else sql.SQL("")
        execute = sql.SQL("EXECUTE {}{}").format(sql.Identifier(name), arguments)
        return await super().execute(execute.as_string(None))


def hot_calls(size: int) -> dict[str, Callable[[Connection], Awaitable[Any]]]:
    """Return every hot statement, as its caller runs it with `size` reports."""
    leases = [Lease(number * 20, 1) for number in range(1, size + 1)]
    head = [(*lease, 1, 0.2) for lease in leases]
    pairs = [
        QueuePriority(f"queue-{n}", rank, in_s(-1e6), -1e6) for n in range(4) for rank in range(3)
    ]
    low_marks = [pair.first_at for pair in pairs]
    unknown = [claimed(queue=pair.queue, scheduled_at=pair.first_at) for pair in pairs]
    names = [QueueName(pair.queue, "shell") for pair in pairs]
    ids = {"ids": [lease.task_id for lease in leases[:CHUNK]]}
    return {
        "list_due_queues": store.list_due_queues,
        "claim_tasks": lambda c: store.claim_tasks(
            c, pairs, low_marks=low_marks, within_s=30.0, limit=min(size, 500), coordinator=ME
        ),
        "filter_held_leases": lambda c: store.filter_held_leases(c, leases),
        "filter_live_leases": lambda c: store.filter_live_leases(c, leases),
        "check_report_ownership": lambda c: store.check_report_ownership(
            c, WORKER, [(*each, None) for each in leases]
        ),
        "adopt_attempts": lambda c: store.adopt_attempts(c, leases, ME, "w", WORKER),
        "start_attempts": lambda c: store.start_attempts(
            c, [Start(*each, "w", WORKER) for each in head]
        ),
        "complete_attempts": lambda c: store.complete_attempts(
            c, [Completion(*each, 0.1, "w", WORKER, "1") for each in head]
        ),
        "fail_attempts": lambda c: store.fail_attempts(
            c,
            [Failure(*each, 0.1, "w", WORKER, "{}", final=False, pause_s=1.0) for each in head],
        ),
        "release_tasks": lambda c: store.release_tasks(
            c, [Release(*each, True, True) for each in leases], ME
        ),
        "insert_output": lambda c: store.insert_output(
            c, [OutputChunk(*lease, 1, 0, "stdout", "text", WORKER) for lease in leases]
        ),
        "rescue_orphans": lambda c: store.rescue_orphans(c, ME, WORKER, stoppable=True),
        "release_held_tasks": lambda c: store.release_held_tasks(c, ME, only_future=False),
        "release_paused_tasks": lambda c: c.execute(
            statement("release_paused_tasks"), {"queue": "queue-1", "name": None}
        ),
        "list_lease_holders": store.list_lease_holders,
        "cancel_tasks": lambda c: c.execute(statement("cancel_tasks"), ids),
        "retry_tasks": lambda c: c.execute(statement("retry_tasks"), ids),
        "reschedule_tasks": lambda c: c.execute(
            statement("reschedule_tasks"), {**ids, "scheduled_at": in_s(60)}
        ),
        "requeue_tasks": lambda c: c.execute(
            statement("requeue_tasks"), {**ids, "queue": "queue-1", "priority": None}
        ),
        "park_tasks": lambda c: store.park_tasks(c, leases, ME),
        "park_due_tasks": lambda c: store.park_due_tasks(c, unknown, limit=10_000),
        "unpark_tasks": lambda c: store.unpark_tasks(c, names, limit=10_000),
        "list_waiting_names": store.list_waiting_names,
        "delete_tasks": lambda c: c.execute(statement("delete_tasks"), ids),
        "prune_tasks": lambda c: c.execute(
            statement("prune_tasks"),
            prune_parameters(Retention(), after=size, upper=MAX_ID, batch=min(size, pace.BATCH)),
        ),
    }


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def ways(plan: dict[str, Any]) -> set[str]:
    """Return how a plan reads tasks: its indexes with their conditions, or a sequential scan."""
    found = set()
    for node in nodes(plan):
        index = node.get("Index Name", "")
        if index.startswith(_INDEXES):
            # The table's own columns have no prefix. Columns of other tables follow a dot.
            words = set(re.findall(r"(?<![.\w])\w+", node.get("Index Cond", "")))
            asked = [column for column in COLUMNS if column in words]
            found.add(f"{index} ({', '.join(asked)})")
        elif node["Node Type"] == "Seq Scan" and node["Relation Name"] == "taskmaster_tasks_task":
            found.add("Seq Scan")
    return found


async def found_ways(cursor: type[ExplainingCursor], size: int) -> dict[str, set[str]]:
    """Return how every hot statement reads tasks, without changing them."""
    found = {}
    async with await AsyncConnection.connect(conninfo(), cursor_factory=cursor) as session:
        await AsyncCursor(session).execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for name, call in hot_calls(size).items():
            cursor.plans.clear()
            await call(session)
            [plan] = cursor.plans
            found[name] = ways(plan)
        await session.rollback()
    return found


#: One report, a usual flush, and the most that one flush writes.
@pytest.mark.parametrize("size", [1, 100, 2_000])
@pytest.mark.parametrize(
    "prepare",
    [
        analysed_while_empty,
        analysed_while_all_was_finished,
        analysed_while_all_was_in_flight,
        analysed_now,
    ],
)
async def test_the_hot_statements_use_the_intended_index(
    prepare: Callable[[], None], size: int, statistics_stay_as_they_are: None
) -> None:
    await sync_to_async(prepare)()
    assert await found_ways(ExplainingCursor, size) == INTENDED
    assert await found_ways(PreparingCursor, size) == INTENDED
