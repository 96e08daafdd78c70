"""What happened: the lines of the activity log."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """One line: a change of one task or worker, or of `count` at once when too many came together.

    Ids rise in the order of commits, so whoever has seen one has seen all before it. The newest
    `events_kept` are kept. Written by `tasks.events` alone.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=16)
    text = models.CharField(max_length=300, help_text="What happened, after the subject.")
    task_id = models.BigIntegerField(null=True)
    task = models.CharField(max_length=200, help_text="The task's name.")
    queue = models.CharField(max_length=64)
    worker = models.CharField(max_length=100, help_text="The worker's name.")
    worker_id = models.UUIDField(null=True)
    user = models.CharField(max_length=150, help_text="Who asked for it.")
    count = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} {self.text}".replace("  ", " ")

    @property
    def subject(self) -> str:
        """The task that it is about, empty where it is about others."""
        return f"{self.task_id} {self.task}" if self.task_id is not None else ""
