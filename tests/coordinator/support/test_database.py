"""Test the coordinator's connection pool: transactions, recorded outages, and its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from taskmaster.coordinator.support.database import Database, conninfo, direct_conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import ConfigurationError

pytestmark = pytest.mark.django_db(transaction=True)

END_SESSION = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database(conninfo(), Settings())
    await database.open()
    yield database
    await database.close()


async def test_each_statement_of_a_connection_is_its_own_transaction(database: Database) -> None:
    async with database.connection() as connection:
        assert connection.autocommit
        cursor = await connection.execute("SELECT current_setting('application_name')")
        assert await cursor.fetchone() == ("taskmaster-coordinator",)


async def test_a_transaction_is_rolled_back_after_an_error(database: Database) -> None:
    async def insert_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(
                "INSERT INTO taskmaster_tasks_idlecoordinator VALUES (gen_random_uuid())"
            )
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await insert_and_fail()
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM taskmaster_tasks_idlecoordinator")
        assert await cursor.fetchone() == (0,)


async def test_a_rejected_statement_is_not_an_outage(database: Database) -> None:
    with pytest.raises(psycopg.DataError):
        async with database.connection() as connection:
            await connection.execute("SELECT 'nonsense'::jsonb")
    assert database.outage.error_count == 0


async def test_a_broken_connection_is_recorded_and_replaced(database: Database) -> None:
    with pytest.raises(psycopg.OperationalError):
        async with database.connection() as connection:
            await connection.execute(END_SESSION)
    assert database.outage.error_count == 1
    assert database.outage.had_error_within(5)
    async with database.connection() as connection:
        await connection.execute("SELECT 1")


async def test_an_unreachable_server_is_an_error_at_the_start() -> None:
    database = Database("host=127.0.0.1 port=1 connect_timeout=2", Settings())
    with pytest.raises(psycopg.OperationalError):
        await database.open()


def test_the_direct_url_is_used_for_the_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    assert direct_conninfo() == conninfo()
    url = "postgresql://ada@db.example:5432/tasks"
    monkeypatch.setenv("TASKMASTER_DATABASE_DIRECT_URL", url)
    assert "host=db.example" in direct_conninfo()
    assert "application_name=taskmaster-listener" in direct_conninfo()


def test_a_malformed_direct_url_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMASTER_DATABASE_DIRECT_URL", "nonsense")
    with pytest.raises(ConfigurationError, match="TASKMASTER_DATABASE_DIRECT_URL is not"):
        direct_conninfo()
