"""The worker: one `runworker` process, as the coordinators last heard of it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class WorkerStatus(models.TextChoices):
    """Whether a worker takes tasks."""

    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"


class Worker(models.Model):
    """One run of a worker process: its id is made anew at each start."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    status = models.CharField(
        max_length=8, choices=WorkerStatus, default=WorkerStatus.ONLINE, db_default="online"
    )
    pool = models.CharField(max_length=8, help_text="process, threads or async")
    pool_name = models.CharField(
        max_length=63,
        default="",
        db_default="",
        blank=True,
        help_text="The pool it belongs to; empty: started by hand.",
    )
    queues = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        help_text="Empty: every queue.",
    )
    slots = models.PositiveIntegerField()
    busy = models.PositiveIntegerField(default=0, db_default=0)
    drain = models.BooleanField(
        default=False, db_default=False, help_text="An operator wants it to take nothing new."
    )
    command = models.CharField(
        max_length=4,
        choices=[("", "nothing"), ("stop", "stop"), ("kill", "kill")],
        default="",
        db_default="",
        blank=True,
        help_text="What an operator has told it to do, once and for all.",
    )
    coordinator = models.UUIDField(null=True)
    join_token = models.ForeignKey(
        "workers.JoinToken",
        on_delete=models.PROTECT,
        null=True,
        related_name="workers",
        help_text="With what it joined; nothing: over loopback.",
    )
    rss_bytes = models.BigIntegerField(default=0, db_default=0)
    cpu = models.FloatField(default=0, db_default=0, help_text="1.0: one core fully used.")
    tasks_done = models.BigIntegerField(default=0, db_default=0)
    tasks_failed = models.BigIntegerField(default=0, db_default=0)
    loop_lag_ms = models.PositiveIntegerField(default=0, db_default=0)
    heartbeat_misses = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Missed in a row."
    )
    registered_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "registered_at"]
        indexes = [
            models.Index(
                fields=["pool_name"], condition=~models.Q(status="offline"), name="worker_of_pool"
            )
        ]
        permissions = [("kill_worker", "Can kill workers")]

    def __str__(self) -> str:
        return self.name
