"""Registered tasks for the tests; most tests do not run them."""

from __future__ import annotations

from taskmaster import task


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def fail() -> None:
    raise RuntimeError("as asked")


@task(
    queue_name="mail",
    priority=7,
    max_attempts=1,
    timeout=5,
    retry_base=2,
    retry_cap=8,
    on_lost_contact="stop",
    tags=("once",),
)
def careful(a: int, b: int = 2) -> int:
    """Declare every option."""
    return a + b


#: A variant of the declaration above, under another name.
hasty = careful.options(max_attempts=9, queue_name="fast")
