"""Define the table of attempt output. It is separate from the frequently updated task row."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class TaskOutput(models.Model):
    """Store one chunk of an attempt's stdout, stderr or log. `seq` defines the order."""

    pk = models.CompositePrimaryKey("task_id", "lease", "seq")
    task = models.ForeignKey(
        "taskmaster_tasks.Task",
        on_delete=models.CASCADE,
        related_name="output",
        # The primary key's index begins with the task. insert_output.sql checks the lease of each
        # chunk, so a constraint would only lock the task row again.
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
