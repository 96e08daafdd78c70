"""Define the model of a coordinator: one `runcoordinator` process."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Coordinator(models.Model):
    """Record one run of a coordinator process.

    The row is `online` until the process ends or is declared dead.
    """

    id = models.UUIDField(primary_key=True)
    #: Key of the session-level advisory lock that the process holds while it is alive.
    lock_key = models.BigIntegerField()
    address = models.CharField(max_length=255, help_text="host:port that workers connect to.")
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    online = models.BooleanField(default=True, db_default=True)
    held = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Number of tasks held until they are due."
    )
    in_flight = models.PositiveIntegerField(default=0, db_default=0)
    connections = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Open database connections of this process."
    )
    loop_lag_ms = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Longest delay of its event loop in the last second."
    )
    heard_at = models.DateTimeField(null=True, help_text="Time of the last NOTIFY.")
    claimed_at = models.DateTimeField(
        null=True, help_text="Time of the last successful iteration of the claim loop."
    )
    flushed_at = models.DateTimeField(null=True, help_text="Time when reports were last written.")
    health_problem = models.TextField(
        default="",
        db_default="",
        blank=True,
        help_text="Why it makes no progress; empty if it does.",
    )
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["started_at"]

    def __str__(self) -> str:
        return self.address
