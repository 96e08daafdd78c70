"""Rows and submissions in a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks.enqueue import bulk
from tasks.submission import NewTask


def a_task(**fields: object) -> NewTask:
    """A valid submission that needs no registry."""
    return NewTask(**{"name": "shell", "kwargs": '{"command":"true"}', **fields})  # type: ignore[arg-type]


def stored(count: int = 1, **fields: object) -> list[int]:
    """Ids of stored tasks."""
    return bulk([a_task(**fields)] * count)


def in_s(seconds: float) -> datetime:
    """A moment from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)
