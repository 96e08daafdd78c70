"""Rolled-up figures: what the dashboard reads instead of counting."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Statistic(models.Model):
    """What ended within ten seconds, as one writer saw it.

    A coordinator adds to its row in the transaction that writes the ends, so the sums are exact.
    Whoever changes finished tasks otherwise (retry, delete) adds a row of its own, with numbers
    below zero where tasks left a status. Rows older than the charts are summed up into one.
    """

    pk = models.CompositePrimaryKey("at", "source")
    at = models.DateTimeField(help_text="Begin of the ten seconds.")
    source = models.UUIDField(help_text="The coordinator, or one operation.")
    complete = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0, db_default=0)
    cancelled = models.BigIntegerField(default=0, db_default=0)
    retried = models.BigIntegerField(
        default=0, db_default=0, help_text="Attempts that failed and are followed by another."
    )
    wait = ArrayField(models.IntegerField(), help_text="Histogram of the waiting times.")
    run = ArrayField(models.IntegerField(), help_text="Histogram of the run times.")

    def __str__(self) -> str:
        return f"{self.at} {self.source}"


class Depth(models.Model):
    """What waits and runs in one queue, counted by a coordinator when something has changed."""

    queue = models.CharField(max_length=64, primary_key=True)
    pending = models.BigIntegerField()
    due = models.BigIntegerField()
    oldest_due = models.DateTimeField(null=True)
    held = models.BigIntegerField(help_text="Picked: held until due, or offered.")
    running = models.BigIntegerField()

    def __str__(self) -> str:
        return self.queue


class Census(models.Model):
    """When the depths were counted, and what that took: one row."""

    id = models.SmallIntegerField(primary_key=True)
    counted_at = models.DateTimeField()
    took_s = models.FloatField()

    def __str__(self) -> str:
        return str(self.counted_at)
