"""Define the table of events, which the activity log shows."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """Store one event: a change of one task or worker, or an aggregate of `count` changes.

    Ids rise in the order of commits. A reader that has seen an id has seen all lower ids. Only the
    newest `events_kept` events are kept. The statement publish_events.sql inserts the rows, for
    `taskmaster.tasks.events` and for the coordinator's publisher.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=16)
    text = models.CharField(
        max_length=300, help_text="Description of the event, without the subject."
    )
    task_id = models.BigIntegerField(null=True)
    task = models.CharField(max_length=200, help_text="Name of the task.")
    queue = models.CharField(max_length=64)
    worker = models.CharField(max_length=100, help_text="Name of the worker.")
    worker_id = models.UUIDField(null=True)
    user = models.CharField(max_length=150, help_text="User who caused the event.")
    count = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} {self.text}".replace("  ", " ")

    @property
    def subject(self) -> str:
        """Return the id and the name of the task, or '' if the event has no task id."""
        return f"{self.task_id} {self.task}" if self.task_id is not None else ""
