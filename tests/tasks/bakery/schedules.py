"""The schedules of the app."""

from __future__ import annotations

from taskmaster import Cron, Every
from tests.tasks.bakery.tasks import ship

schedules = [
    Cron("@daily", task=ship, args=[7]),
    Every(300, name="clean", command=["rm", "-r", "/tmp/dough"], env={"A": "1"}),
]
