"""The tasks that the benchmarks run."""

from __future__ import annotations

from tasks.compat import task


@task
def noop() -> None:
    """Nothing: what is measured is the way there and back."""
