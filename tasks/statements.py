"""The SQL of a package: one file a statement, named by what it does."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def statement(name: str, package: str = "tasks.sql") -> str:
    """The text of `<package>/<name>.sql`."""
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
