"""Which database is read: a web process may look at several, each with coordinators of its own.

A shard is one database and the processes that serve it. A task lives in one shard for good; what
writes, names the database (`using=`), and what reads, reads the one chosen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, models

#: What lies in every shard; users, tokens and sessions lie in the web's own database.
_APPS = {"tasks", "workers", "coordinator"}

_current: ContextVar[str] = ContextVar("shard", default=DEFAULT_DB_ALIAS)


def current() -> str:
    """The alias of the database that is read."""
    return _current.get()


@contextmanager
def reading(alias: str) -> Iterator[None]:
    """Within it that database is read."""
    token = _current.set(alias)
    try:
        yield
    finally:
        _current.reset(token)


class Router:
    """Sends what is read of a shard to the one that is chosen."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """None, Django's own choice, for everything that is not a shard's."""
        if model._meta.app_label not in _APPS or "instance" in hints:
            return None
        return current()
