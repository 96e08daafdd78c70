"""What several tests with real processes share."""

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
    """A PostgreSQL apart from the suite's, with TaskMaster's tables, and no task in them."""
    _server.start()
    _server.ask("TRUNCATE tasks_task CASCADE")
    return _server
