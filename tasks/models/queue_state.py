"""What the workers of each coordinator can take, by queue."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class QueueState(models.Model):
    """The connected workers of one coordinator that serve a queue.

    The queue '' stands for every queue that has no row of its own, and is the coordinator's sign of
    life: its rows count while `at` of that one is fresh. Written by the coordinators alone.
    """

    pk = models.CompositePrimaryKey("coordinator", "queue")
    coordinator = models.UUIDField()
    queue = models.CharField(max_length=64)
    workers = models.PositiveIntegerField(help_text="Those that take tasks: none that drains.")
    slots = models.PositiveIntegerField()
    free = models.PositiveIntegerField(help_text="Slots that nothing is meant for.")
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.queue or 'any queue'} {self.free}/{self.slots}"
