"""What an attempt printed, kept apart from the hot row."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class TaskOutput(models.Model):
    """One chunk of an attempt's stdout, stderr or log, in the order of `seq`."""

    pk = models.CompositePrimaryKey("task_id", "lease", "seq")
    task = models.ForeignKey(
        "tasks.Task",
        on_delete=models.CASCADE,
        related_name="output",
        # The key's index begins with the task, and each chunk is written against its live lease: a
        # foreign key would only lock the hot row once more.
        db_index=False,
        db_constraint=False,
    )
    lease = models.BigIntegerField()
    attempt = models.PositiveIntegerField()
    seq = models.PositiveIntegerField()
    stream = models.CharField(max_length=6)
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.task_id}/{self.attempt} {self.stream} {self.seq}"
