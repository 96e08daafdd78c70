"""Define the tables of rolled-up statistics. The dashboard reads them instead of counting tasks."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Statistic(models.Model):
    """Store the number of tasks that ended within ten seconds, as counted by one writer.

    A coordinator updates its row in the transaction that writes the ended tasks, so the sums are
    exact. Other writers (cancel, retry, delete) add rows of their own. Their numbers are negative
    for tasks that left a status. Rows older than the charts are summed into one row.
    """

    pk = models.CompositePrimaryKey("at", "source")
    at = models.DateTimeField(help_text="Start of the ten-second interval.")
    source = models.UUIDField(
        help_text="Id of the coordinator, the bulk operation or the database session."
    )
    complete = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0, db_default=0)
    cancelled = models.BigIntegerField(default=0, db_default=0)
    retried = models.BigIntegerField(
        default=0, db_default=0, help_text="Failed attempts after which the task was retried."
    )
    wait = ArrayField(models.IntegerField(), help_text="Histogram of the waiting times.")
    run = ArrayField(models.IntegerField(), help_text="Histogram of the run times.")

    def __str__(self) -> str:
        return f"{self.at} {self.source}"


class QueueDepth(models.Model):
    """Store the number of pending, held, running and waiting tasks of one queue.

    Coordinators count them after changes. Web processes count them for open dashboards and metrics.
    """

    queue = models.CharField(max_length=64, primary_key=True)
    pending = models.BigIntegerField()
    due = models.BigIntegerField()
    oldest_due = models.DateTimeField(null=True)
    held = models.BigIntegerField(help_text="Picked tasks: held until due, or offered to a worker.")
    running = models.BigIntegerField()
    waiting = models.BigIntegerField(default=0, db_default=0, help_text="Parked tasks.")

    def __str__(self) -> str:
        return self.queue


class DepthSnapshot(models.Model):
    """Store the time and the duration of the last count of the depths. The table has one row.

    The number of ended tasks is that of the same snapshot, so that it agrees with the depths.
    """

    id = models.SmallIntegerField(primary_key=True)
    counted_at = models.DateTimeField()
    took_s = models.FloatField()
    complete = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0, db_default=0)
    cancelled = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return str(self.counted_at)
