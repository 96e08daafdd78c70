"""The tasks that the benchmarks run."""

from __future__ import annotations

import time

from tasks.compat import task


@task
def noop() -> None:
    """Nothing: what is measured is the way there and back."""


@task
def nap(seconds: float) -> None:
    """As long as somebody wants it to run."""
    time.sleep(seconds)
