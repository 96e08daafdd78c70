"""Fixtures for tests with real children."""

from __future__ import annotations

import os

import pytest

from taskmaster.workers import python_process
from tests.system.fleet import database_url
from tests.workers.daemon.child.slots_bench import MODULES


@pytest.fixture
def child_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children use the hostile tasks and the test database."""
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", ",".join(MODULES))
    monkeypatch.setenv("DATABASE_URL", database_url())
    # As `runworker` does before it executes the worker.
    monkeypatch.setenv("PYTHONPATH", python_process.environment(os.environ)["PYTHONPATH"])
