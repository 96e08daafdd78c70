"""The coordinator: one `runcoordinator` process."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Coordinator(models.Model):
    """One run of a coordinator process; `online` until it ends or is found dead."""

    id = models.UUIDField(primary_key=True)
    #: Held as a session-level advisory lock for as long as the process lives.
    lock_key = models.BigIntegerField()
    address = models.CharField(max_length=255, help_text="host:port where workers reach it.")
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    online = models.BooleanField(default=True, db_default=True)
    held = models.PositiveIntegerField(default=0, db_default=0, help_text="Tasks held until due.")
    in_flight = models.PositiveIntegerField(default=0, db_default=0)
    connections = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Open connections of its own to the database."
    )
    loop_lag_ms = models.PositiveIntegerField(
        default=0, db_default=0, help_text="The worst delay of its event loop in a second."
    )
    heard_at = models.DateTimeField(null=True, help_text="NOTIFY was last heard.")
    claimed_at = models.DateTimeField(null=True, help_text="A turn of the claim loop succeeded.")
    flushed_at = models.DateTimeField(null=True, help_text="Reports were last written.")
    complaint = models.TextField(
        default="", db_default="", blank=True, help_text="What keeps it from its work."
    )
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["started_at"]

    def __str__(self) -> str:
        return self.address
