"""The app's only task."""

from __future__ import annotations

from taskmaster import task


@task
def ship(order_id: int) -> int:
    """Return the order."""
    return order_id
