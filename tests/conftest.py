"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker

from tasks.events.publish import drain


def pytest_configure() -> None:
    """The test database bears the name of this checkout."""
    settings.DATABASES["default"]["TEST"]["NAME"] = os.environ["TASKMASTER_TEST_DATABASE"]


@pytest.fixture(scope="session", autouse=True)
def _no_session_outlives_the_suite(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Connections of other threads would keep the test database from being dropped."""
    yield
    # What the last test published goes out before its database goes.
    drain()
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
