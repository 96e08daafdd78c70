"""The tasks of the app."""

from __future__ import annotations

from taskmaster import Cron, Every, task


@task
def ship(order_id: int) -> int:
    """Return the order."""
    return order_id


@task(schedule=Every(3600, args=["stock"], overlap="skip"))
def count(table: str) -> str:
    return table


@task(
    schedule=[
        Cron("0 3 * * *", name="report-daily", timezone="Europe/Berlin"),
        Cron("0 4 * * sun", name="report-weekly", kwargs={"days": 7}, tags=["weekly"]),
    ]
)
async def report(days: int = 1) -> int:
    return days
