"""Define the tasks that the benchmarks run."""

from __future__ import annotations

import time

from taskmaster import task


@task
def noop() -> None:
    """Do nothing: the benchmark measures the overhead."""


@task
def nap(seconds: float) -> None:
    """Sleep for the given time."""
    time.sleep(seconds)
