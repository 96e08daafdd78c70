"""Test that the ORM behaves in tasks as in Django."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from tests.waiting import until
from tests.workers.daemon.child.slots_bench import MODULES, running_slots

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("child_environment"),
]
EXECUTORS = pytest.mark.parametrize("executor", ["process", "thread", "async"])


@sync_to_async
def sessions() -> set[int]:
    """Return the pids of Django's sessions in this test's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'taskmaster-django'"
        )
        return {pid for (pid,) in cursor.fetchall()}


@sync_to_async
def terminate(pids: set[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [list(pids)])


@EXECUTORS
async def test_threads_of_tasks_use_the_orm_again_and_again(executor: str) -> None:
    ours = await sessions()
    async with running_slots(executor) as slots:
        for _ in range(3):
            assert await slots.run(f"{MODULES[2]}.use_the_orm_in_threads") == [0] * 8
        assert await slots.run("count_users") == 0

        async def are_closed() -> bool:
            return len(await sessions() - ours) <= 1

        await until(are_closed)


@EXECUTORS
@pytest.mark.parametrize("task", ["count_users", "count_users_async"])
async def test_the_next_task_succeeds_after_sessions_were_terminated(
    executor: str, task: str
) -> None:
    ours = await sessions()
    async with running_slots(executor) as slots:
        for _ in range(3):
            assert await slots.run(task) == 0
            theirs = await sessions() - ours
            assert theirs, "the connection is kept for the next attempt"
            await terminate(theirs)


async def test_a_query_to_a_vanished_server_does_not_wait_for_minutes() -> None:
    async with running_slots("process") as slots:
        assert await slots.run("tcp_user_timeout") == "20000"


@pytest.mark.parametrize("executor", ["thread", "async"])
async def test_every_slot_has_a_connection(executor: str) -> None:
    async with running_slots(executor, 16) as slots:
        attempts = [slots.start("count_and_sleep", 1.0) for _ in range(16)]
        assert [await slots.result(attempt) for attempt in attempts] == [0] * 16


@EXECUTORS
async def test_an_idle_child_closes_its_connections(executor: str) -> None:
    ours = await sessions()
    async with running_slots(executor) as slots:
        for task in ("count_users", "count_users_async"):
            assert await slots.run(task) == 0
        assert await sessions() - ours

        async def are_closed() -> bool:
            return not await sessions() - ours

        await until(are_closed)
        assert await slots.run("count_users") == 0
