"""Read the tasks, and every change of them, from the database when the run is over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

_HISTORY = Path(__file__).with_name("history.sql")
_ROWS = """
    SELECT id, tags[1], name, status, lease, attempt, result #>> '{}', errors
    FROM taskmaster_tasks_task
"""
_CHANGES = """
    SELECT
        task_id,
        EXTRACT(EPOCH FROM at)::float8,
        old_status,
        new_status,
        old_lease,
        new_lease,
        attempt,
        worker,
        COALESCE(coordinator::text, '')
    FROM chaos_history
    ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Hold the final row of a task. `result` is text: the token of a Python task."""

    id: int
    key: str
    name: str
    status: str
    lease: int
    attempt: int
    result: str | None
    errors: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TaskTransition:
    """Hold one change of a task. `at` is in wall-clock seconds, `coordinator` is a name."""

    task_id: int
    at: float
    old_status: str
    new_status: str
    old_lease: int
    new_lease: int
    attempt: int
    worker: str
    coordinator: str


def install(url: str) -> None:
    """Create the history table and its trigger."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_HISTORY.read_text().encode())


def rows(url: str) -> list[TaskRow]:
    """Return the rows of all tasks."""
    with psycopg.connect(url) as connection:
        return [TaskRow(*row) for row in connection.execute(_ROWS)]


def history(url: str, ports: Mapping[str, int]) -> dict[int, list[TaskTransition]]:
    """Return the changes of each task in their order. `ports` names the coordinators."""
    names = {str(port): name for name, port in ports.items()}
    found: dict[int, list[TaskTransition]] = defaultdict(list)
    with psycopg.connect(url) as connection:
        known = connection.execute(
            "SELECT id::text, address FROM taskmaster_coordinator_coordinator"
        )
        by_id = {each: names[address.rpartition(":")[2]] for each, address in known}
        for row in connection.execute(_CHANGES):
            change = TaskTransition(*row)
            coordinator = by_id.get(change.coordinator, change.coordinator)
            found[change.task_id].append(replace(change, coordinator=coordinator))
    return dict(found)
