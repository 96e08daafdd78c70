"""Test that no row can have a time that Python cannot read."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from tests.factories import a_schedule, stored

pytestmark = pytest.mark.django_db

#: Times that PostgreSQL can store and Python cannot read.
UNREADABLE = ("infinity", "-infinity", "20000-01-01", "0002-01-01 BC")
COLUMNS = {
    "task": ("scheduled_at", "created_at", "scheduled_for"),
    "schedule": ("anchor", "starts_at", "ends_at", "paused_at", "next_due_at", "next_run_at"),
    "schedulerstate": ("checked_at", "paused_at"),
}


def write(table: str, column: str, value: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE taskmaster_tasks_{table} SET {column} = %s", [value])


@pytest.fixture(autouse=True)
def rows() -> None:
    stored(1)
    a_schedule()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO taskmaster_tasks_schedulerstate (id) VALUES (1) ON CONFLICT DO NOTHING"
        )


@pytest.mark.parametrize("value", UNREADABLE)
def test_a_time_that_would_stop_every_search_is_rejected(value: str) -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            with pytest.raises(IntegrityError, match="times_1970_to_9000"):
                write(table, column, value)
    with pytest.raises(IntegrityError, match="times_1970_to_9000"):
        write("schedule", "dates", f'{{2030-01-01,"{value}"}}')


def test_times_of_every_year_that_schedules_accept_are_stored() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            write(table, column, "1970-01-01T00:00Z")
            write(table, column, "2150-01-01T00:00Z")
    write("schedule", "dates", "{1970-01-01T00:00Z,2150-01-01T00:00Z}")
    write("schedule", "dates", "{}")
