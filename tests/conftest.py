"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest
from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker

from taskmaster.tasks.events.publish import drain
from tests.table_reset import TableReset


def pytest_configure() -> None:
    """Give the test database the name of this checkout."""
    settings.DATABASES["default"]["TEST"]["NAME"] = os.environ["TASKMASTER_TEST_DATABASE"]
    # On a busy machine a correct example may take long.
    hypothesis.settings.register_profile(
        "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Publish a test's events before the flush of its database: none reaches the next test."""
    drain()


@pytest.fixture(scope="session", autouse=True)
def _reset_tables_quickly(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Replace the flush after each test with `transaction=True`."""
    with django_db_blocker.unblock():
        reset = TableReset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: reset.run())
        yield


@pytest.fixture(scope="session", autouse=True)
def _end_database_sessions(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """End sessions of other threads, which would keep the test database from being dropped."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
