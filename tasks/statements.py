"""Load SQL statements, and define what they run on: the connection type and the lock keys.

Each statement is a file of a package. Only the store of that package runs it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from psycopg import AsyncConnection

#: A connection of a coordinator, outside Django.
Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]


@cache
def statement(name: str, package: str = "taskmaster.tasks.sql") -> str:
    """Return the text of `<package>/<name>.sql`."""
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def advisory_key(name: str) -> int:
    """Return the key of the advisory lock `taskmaster.<name>`.

    All applications of one database share the key space. PostgreSQL's keys are signed 64-bit
    integers, so the key has 63 bits. The key is a hash, so that it does not collide with the small
    numbers that other applications use.
    """
    digest = hashlib.sha256(f"taskmaster.{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
