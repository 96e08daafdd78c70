"""Select the shard that a web process reads.

A shard is one database with its coordinators and workers. A task never leaves its shard. Writes
name their database with `using=`. Reads use the shard that is selected here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, models

#: Apps whose tables exist in every shard. Users, tokens and sessions are in the default database.
_APPS = {"taskmaster_tasks", "taskmaster_workers", "taskmaster_coordinator"}

_current: ContextVar[str] = ContextVar("shard", default=DEFAULT_DB_ALIAS)


def current() -> str:
    """Return the alias of the selected database."""
    return _current.get()


@contextmanager
def reading(alias: str) -> Iterator[None]:
    """Select a database for reads within the context."""
    token = _current.set(alias)
    try:
        yield
    finally:
        _current.reset(token)


class Router:
    """Route reads of the shard apps to the selected database."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """Return the selected database, or None (Django's default) for other apps.

        Return None also for reads with an `instance` hint, which stay in the instance's database.
        """
        if model._meta.app_label not in _APPS or "instance" in hints:
            return None
        return current()
