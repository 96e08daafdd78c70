"""Test that no statement of schedules reads a whole table, with old and new statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from psycopg import AsyncConnection, AsyncCursor

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.schedule_messages import DueSchedule, Plan, PlannedRun, QueuedRun
from taskmaster.tasks.statements import statement
from taskmaster.tasks.store import schedule_changes, schedule_lists
from taskmaster.tasks.store import schedule_store as store
from taskmaster.tasks.store.schedule_changes import MovedSchedule, PassedRun
from tests.coordinator.test_plans import ExplainingCursor, PreparingCursor, nodes, run
from tests.factories import in_s

pytestmark = pytest.mark.django_db(transaction=True)

#: Schedules, each with one run that has a task. Every hundredth task has not ended.
SCHEDULES = 15_000
TABLES = ("schedule", "schedulerun", "task")
#: Schedules of one statement.
IDS = range(1, 101)
TASK = NewTask("shell", queue="default")
#: The statements of the leading coordinator, in the order of `call_leader`.
OF_LEADER = (
    "list_due_schedules",
    "create_schedule_runs",
    "start_queued_runs",
    "prune_schedule_runs",
)
OF_USERS = (
    "lock_unstarted_runs",
    "withdraw_runs",
    "record_passed_runs",
    "move_schedules",
    "insert_schedule_runs",
    "list_schedule_runs",
    "list_runs_ahead",
    "count_day_runs",
)


def fill(first: int, last: int) -> None:
    """Store the schedules with these ids, each with a run and its task."""
    run(f"""
        INSERT INTO taskmaster_tasks_schedule
            (id, name, task, trigger, interval_s, anchor, timezone, overlap, next_due_at,
             next_run_at)
        SELECT n, 'schedule-' || n, 'shell', 'interval', 3600, now(), 'UTC',
            CASE n % 2 WHEN 0 THEN 'allow' ELSE 'skip' END,
            now() + make_interval(mins => n), now() + make_interval(mins => n)
        FROM generate_series({first}, {last}) AS n
    """)
    run(f"""
        INSERT INTO taskmaster_tasks_task (id, name, status, max_attempts, timeout_s, schedule_id)
        SELECT n, 'shell', CASE WHEN n % 100 = 0 THEN 'started' ELSE 'complete' END, 3, 60, n
        FROM generate_series({first}, {last}) AS n
    """)
    run(f"""
        INSERT INTO taskmaster_tasks_schedulerun
            (schedule_id, due_at, run_at, state, task_id, settled)
        SELECT n, due_at, due_at, 'created', n, n % 100 <> 0
        FROM generate_series({first}, {last}) AS n
        CROSS JOIN LATERAL (SELECT now() - make_interval(mins => n) AS due_at) AS due
    """)
    run(f"SELECT setval(pg_get_serial_sequence('taskmaster_tasks_task', 'id'), {last})")


def analyse() -> None:
    for table in TABLES:
        run(f"ANALYZE taskmaster_tasks_{table}")


@pytest.fixture(autouse=True)
def statistics_stay_as_they_are(transactional_db: None) -> Iterator[None]:
    for table in TABLES:
        run(f"TRUNCATE taskmaster_tasks_{table} CASCADE")
        run(f"ALTER TABLE taskmaster_tasks_{table} SET (autovacuum_enabled = off)")
    yield
    for table in TABLES:
        run(f"ALTER TABLE taskmaster_tasks_{table} RESET (autovacuum_enabled)")


def due_schedule(pk: int) -> DueSchedule:
    given = {"id": pk, "version": 0, "name": f"schedule-{pk}", "next_due_at": in_s(60)}
    return DueSchedule(**{**dict.fromkeys(DueSchedule._fields), **given})  # type: ignore[arg-type]


def plan(pk: int) -> Plan:
    planned = PlannedRun(in_s(60), None, 1, in_s(60), "created", "", True)
    later = in_s(3_600)
    return Plan(due_schedule(pk), TASK, in_s(0), in_s(10), (planned,), later, later, "", "", 0)


async def call_leader(session: AsyncConnection[Any]) -> None:
    """Run the statements of the leading coordinator, whose cursor returns no rows."""
    with suppress(IndexError):
        await store.list_due_schedules(session, UUID(int=1), ahead_s=30.0, prepare_s=2.0, limit=500)
    await store.create_schedule_runs(session, [plan(pk) for pk in IDS], halted_at=None)
    queued = [(QueuedRun(pk, due_schedule(pk)), TASK, "") for pk in IDS]
    await store.start_queued_runs(session, queued, halted_at=None)
    async with session.cursor() as cursor:
        await cursor.execute(statement("prune_schedule_runs"), {"ids": list(IDS), "kept": 5})


def call_users() -> None:
    """Run the statements of changes by users and of pages."""
    pk, now, ids = 7, in_s(0), list(IDS)
    schedule_changes.lock_unstarted_runs(pk, schedule_changes.EARLIEST, schedule_changes.LATEST)
    schedule_changes.lock_unstarted_runs(None, now - timedelta(days=1), schedule_changes.LATEST)
    schedule_changes.withdraw_runs(ids, "edited")
    schedule_changes.record_passed_runs(
        [PassedRun(pk, now, None, 1, now, "missed", "edited") for pk in ids]
    )
    schedule_changes.move_schedules([MovedSchedule(pk, now, now, None, "") for pk in ids], now)
    schedule_changes.insert_schedule_runs(
        pk, TASK, [now], kind="manual", user="eve", created_by_id=None
    )
    schedule_lists.list_schedule_runs(ids[:50], most=30)
    schedule_lists.list_runs_ahead(ids[:50])
    schedule_lists.count_day_runs(most=10_000)


def scans(plans: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return the statements that read a table from the first row to the last."""
    return [
        f"{name}: {node['Relation Name']}"
        for name, root in plans
        for node in nodes(root)
        if node["Node Type"] == "Seq Scan"
        and node["Relation Name"].removeprefix("taskmaster_tasks_") in TABLES
    ]


@async_to_sync
async def plans_of_leader(cursor: type[ExplainingCursor]) -> list[tuple[str, dict[str, Any]]]:
    async with await AsyncConnection.connect(conninfo(), cursor_factory=cursor) as session:
        await AsyncCursor(session).execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.plans.clear()
        await call_leader(session)
        await session.rollback()
    return list(zip(OF_LEADER, cursor.plans, strict=True))


def plans_of_users() -> list[tuple[str, dict[str, Any]]]:
    plans = []
    names = {statement(name): name for name in OF_USERS}

    def explain(
        execute: Callable[..., Any], text: str, params: Any, many: bool, context: Any
    ) -> Any:
        # Below the wrapper, which would explain this statement too.
        cursor = context["cursor"].cursor
        cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", params)
        plans.append((names[text], cursor.fetchone()[0][0]["Plan"]))
        return execute(text, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(explain):
            call_users()
        transaction.set_rollback(True)
    assert {name for name, _ in plans} == set(OF_USERS)
    return plans


def test_no_statement_reads_a_whole_table_also_when_the_tables_grew_tenfold() -> None:
    tenth = SCHEDULES // 10
    fill(1, tenth)
    analyse()
    fill(tenth + 1, SCHEDULES)
    for refresh in (lambda: None, analyse):
        refresh()
        assert scans(plans_of_leader(ExplainingCursor)) == []
        assert scans(plans_of_leader(PreparingCursor)) == []
        assert scans(plans_of_users()) == []
