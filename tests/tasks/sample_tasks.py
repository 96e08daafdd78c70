"""Tasks for the tests: what they do is nobody's business here."""

from __future__ import annotations

from tasks.compat import task


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def fail() -> None:
    raise RuntimeError("as asked")
