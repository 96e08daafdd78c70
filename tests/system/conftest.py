"""Fixtures for tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.server import Server, running_server


@pytest.fixture(scope="package")
def _server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    """Return a separate PostgreSQL with TaskMaster's tables and no tasks."""
    _server.start()
    _server.ask("TRUNCATE taskmaster_tasks_task CASCADE")
    return _server
