"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker
from servestatic.middleware import ServeStaticMiddleware
from xdist.scheduler import LoadScopeScheduling

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


#: Packages whose modules share one process, since they share a fleet that takes long to start.
_TOGETHER = ("tests/browser/",)
#: Modules whose tests share nothing and take long, so that any process can run each of them.
_APART = ("tests/tasks/timing/test_reference.py",)


class _Scheduling(LoadScopeScheduling):
    """Keep the tests of a module together, of a package in `_TOGETHER`, or none of `_APART`."""

    def _split_scope(self, nodeid: str) -> str:
        for package in _TOGETHER:
            if nodeid.startswith(package):
                return package
        if nodeid.startswith(_APART):
            return nodeid
        return super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling | None:
    """Use it with `--dist loadscope`."""
    return _Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


#: What takes longest, so that it does not run alone at the end: minutes in one process, each with
#: databases of its own.
_FIRST = (
    "tests/browser/",
    "tests/docs/test_blocks.py",
    "tests/docs/test_existing_project.py",
    "tests/foreign/",
    "tests/packaging/",
    "tests/taskmaster_site/demo/",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the items of `_FIRST` before all others, which stay in the order of pytest-django."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Publish a test's events before the flush of its database: none reaches the next test."""
    drain()


def _has_test_database() -> bool:
    """Return whether a test needs the database. Otherwise pytest-django creates none."""
    name: str = connection.settings_dict["NAME"]
    return name.startswith(os.environ["TASKMASTER_TEST_DATABASE"])


@pytest.fixture(scope="session", autouse=True)
def _list_static_files_once() -> Iterator[None]:
    """Let the handlers of all test clients share the list of static files.

    A web process lists 220 files when it starts. Each client of a test has a handler of its own,
    and that took half of the time of a test of a page.
    """
    search = ServeStaticMiddleware.add_files_from_finders
    found: dict[tuple[object, ...], ServeStaticMiddleware] = {}

    def search_once(middleware: ServeStaticMiddleware) -> None:
        key = (middleware.static_prefix, middleware.autorefresh, middleware.max_age)
        if key not in found:
            search(middleware)
            found[key] = middleware
        middleware.files = dict(found[key].files)
        middleware.directories = list(found[key].directories)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServeStaticMiddleware, "add_files_from_finders", search_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _reset_tables_quickly(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Replace the flush after each test with `transaction=True`."""
    if not _has_test_database():
        yield
        return
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
    if not _has_test_database():
        return
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
