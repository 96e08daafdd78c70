"""The hot statements have one plan, whatever the statistics say of the table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from psycopg import AsyncConnection, AsyncCursor, sql

from coordinator.database import conninfo
from tasks import store
from tasks.bulk.chunk import CHUNK
from tasks.reports import Chunk, Completion, Failure, Lease, Pair, Release, Start
from tasks.statements import statement
from tasks.store import Connection
from tests.tasks.sample import in_s

pytestmark = pytest.mark.django_db(transaction=True)

ME = UUID(int=1)
WORKER = UUID(int=2)
#: Rows of the history, and of what is alive.
FINISHED, ALIVE = 45_000, 5_000
#: Indexes, each with the columns that it is asked for.
FIRST = "idx_tasks_scheduled_at ()"
NEXT_PAIR = "idx_tasks_scheduled_at (queue, priority)"
RANGE = "idx_tasks_scheduled_at (queue, priority, scheduled_at)"
BY_ID = "tasks_task_pkey (id)"
IN_FLIGHT = "idx_tasks_in_flight (coordinator)"
FIRST_HOLDER = "idx_tasks_in_flight ()"
COLUMNS = ("id", "queue", "priority", "scheduled_at", "coordinator", "status", "lease")

INTENDED = {
    "scan": {FIRST, NEXT_PAIR},
    "claim": {RANGE, BY_ID},
    "dispatch": {BY_ID},
    "live": {BY_ID},
    "own": {BY_ID},
    "adopt": {BY_ID},
    "start": {BY_ID},
    "complete": {BY_ID},
    "fail": {BY_ID},
    "release": {BY_ID},
    "output": {BY_ID},
    "rescue": {IN_FLIGHT},
    "release_held": {IN_FLIGHT},
    "holders": {FIRST_HOLDER, IN_FLIGHT},
    "cancel": {BY_ID},
    "retry": {BY_ID},
    "move": {BY_ID},
    "requeue": {BY_ID},
    "delete": {BY_ID},
}


# ---- the table ------------------------------------------------------------------------------


def run(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


def fill(count: int, status: str, *, queues: int = 4) -> None:
    """So many tasks of a status, over a few queues and priorities."""
    run(f"""
        INSERT INTO tasks_task
            (name, queue, priority, status, max_attempts, timeout_s, scheduled_at, lease,
             coordinator, worker_id)
        SELECT 'shell', 'queue-' || n % {queues}, n % 3, '{status}', 3, 60,
            now() - make_interval(secs => n), 1, '{UUID(int=7)}', '{WORKER}'
        FROM generate_series(1, {count}) AS n
    """)


def fill_all() -> None:
    fill(FINISHED, "complete")
    for status in ("pending", "picked", "started", "failed", "cancelled"):
        fill(ALIVE // 5, status)


def analysed_while_empty() -> None:
    run("ANALYZE tasks_task")
    fill_all()


def analysed_while_all_was_finished() -> None:
    fill(FINISHED, "complete")
    run("ANALYZE tasks_task")
    for status in ("pending", "picked", "started", "failed", "cancelled"):
        fill(ALIVE // 5, status)


def analysed_while_all_was_in_flight() -> None:
    fill(ALIVE, "started")
    run("ANALYZE tasks_task")
    run("UPDATE tasks_task SET status = 'complete'")
    fill_all()


def analysed_now() -> None:
    fill_all()
    run("ANALYZE tasks_task")


@pytest.fixture
def statistics_stay_as_they_are(transactional_db: None) -> Iterator[None]:
    # Without the dead rows of tests before, which were rolled back.
    run("TRUNCATE tasks_task CASCADE")
    run("ALTER TABLE tasks_task SET (autovacuum_enabled = off)")
    yield
    run("ALTER TABLE tasks_task RESET (autovacuum_enabled)")


# ---- the plans ------------------------------------------------------------------------------


class ExplainingCursor(AsyncCursor[tuple[Any, ...]]):
    """Returns no rows but keeps the plan of whatever is executed, for these very parameters."""

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
    """Keeps the plan that a prepared statement has for any parameters; executes it, too."""

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
    """Every hot statement, as its caller runs it with so many reports."""
    leases = [Lease(number * 20, 1) for number in range(1, size + 1)]
    head = [(*lease, 1, 0.2) for lease in leases]
    pairs = [Pair(f"queue-{n}", rank, in_s(-1e6), -1e6) for n in range(4) for rank in range(3)]
    sinces = [pair.first_at for pair in pairs]
    ids = {"ids": [lease.task_id for lease in leases[:CHUNK]]}
    return {
        "scan": store.scan,
        "claim": lambda c: store.claim(
            c, pairs, sinces=sinces, within_s=30.0, room=min(size, 500), coordinator=ME
        ),
        "dispatch": lambda c: store.still_held(c, leases),
        "live": lambda c: store.live(c, leases),
        "own": lambda c: store.own(c, WORKER, [(*each, None) for each in leases]),
        "adopt": lambda c: store.adopt(c, leases, ME, "w", WORKER),
        "start": lambda c: store.start(c, [Start(*each, "w", WORKER) for each in head]),
        "complete": lambda c: store.complete(
            c, [Completion(*each, 0.1, "w", WORKER, "1") for each in head]
        ),
        "fail": lambda c: store.fail(
            c,
            [Failure(*each, 0.1, "w", WORKER, "{}", final=False, pause_s=1.0) for each in head],
        ),
        "release": lambda c: store.release(c, [Release(*each, True) for each in leases], ME),
        "output": lambda c: store.write_output(
            c, [Chunk(*lease, 1, 0, "stdout", "text", WORKER) for lease in leases]
        ),
        "rescue": lambda c: store.rescue(c, ME, WORKER, stoppable=True),
        "release_held": lambda c: store.release_held(c, ME, future=False),
        "holders": store.holders,
        "cancel": lambda c: c.execute(statement("cancel"), ids),
        "retry": lambda c: c.execute(statement("retry"), ids),
        "move": lambda c: c.execute(statement("move"), {**ids, "scheduled_at": in_s(60)}),
        "requeue": lambda c: c.execute(
            statement("requeue"), {**ids, "queue": "queue-1", "priority": None}
        ),
        "delete": lambda c: c.execute(statement("delete"), ids),
    }


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def ways(plan: dict[str, Any]) -> set[str]:
    """How a plan reads tasks: its indexes with their conditions, or a scan that uses none."""
    found = set()
    for node in nodes(plan):
        index = node.get("Index Name", "")
        if index.startswith(("tasks_task_", "idx_tasks_")):
            # The table's own columns stand bare, those of others after a dot.
            words = set(re.findall(r"(?<![.\w])\w+", node.get("Index Cond", "")))
            asked = [column for column in COLUMNS if column in words]
            found.add(f"{index} ({', '.join(asked)})")
        elif node["Node Type"] == "Seq Scan" and node["Relation Name"] == "tasks_task":
            found.add("Seq Scan")
    return found


async def found_ways(cursor: type[ExplainingCursor], size: int) -> dict[str, set[str]]:
    """How every hot statement reads tasks; leaves them as they are."""
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
