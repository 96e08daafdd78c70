"""Define the worker: one `runworker` process, as last reported to a coordinator."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class WorkerStatus(models.TextChoices):
    """Name whether a worker accepts tasks."""

    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"


class WorkerEnd(models.TextChoices):
    """Name how a worker ended, as far as its coordinators know."""

    DRAINED = "drained", "drained"
    STOPPED = "stopped", "stopped"
    #: By an operator, through its coordinator.
    KILLED = "killed", "killed"
    #: It sent no last heartbeat: it died, froze, was cut off, or was killed on its host.
    LOST = "lost", "lost"


#: How a worker ended, as a remark for people.
_ENDS: dict[str, str] = {
    WorkerEnd.DRAINED: "drained",
    WorkerEnd.STOPPED: "stopped",
    WorkerEnd.KILLED: "killed by an operator",
    WorkerEnd.LOST: "lost: it sent no last heartbeat",
    "": "unknown: its coordinator ended first",
}
#: Number of characters of a short id: the first group of a UUID.
SHORT_ID = 8
#: Order of lists: online workers, then draining ones, then offline ones, each the newest first.
PRESENT_FIRST = (
    models.Case(
        models.When(status=WorkerStatus.ONLINE, then=0),
        models.When(status=WorkerStatus.DRAINING, then=1),
        default=2,
    ).asc(),
    "-registered_at",
    "-id",
)


class WorkerManager(models.Manager["Worker"]):
    """Leave the names of tasks in the database until they are read. There may be thousands."""

    def get_queryset(self) -> models.QuerySet[Worker]:
        """Return all workers."""
        return super().get_queryset().defer("tasks")


class Worker(models.Model):
    """Store one run of a worker process. Each start has a new id."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    status = models.CharField(
        max_length=8, choices=WorkerStatus, default=WorkerStatus.ONLINE, db_default="online"
    )
    executor = models.CharField(max_length=8, help_text="`process`, `thread` or `async`.")
    pool = models.CharField(
        max_length=63,
        default="",
        db_default="",
        blank=True,
        help_text="Worker pool that counts this worker. Empty: started manually.",
    )
    queues = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        help_text="Empty: every queue.",
    )
    tasks = ArrayField(
        models.CharField(max_length=200),
        null=True,
        help_text="Task names that the worker knows. Null: it announced none and takes every task.",
    )
    slots = models.PositiveIntegerField()
    busy = models.PositiveIntegerField(default=0, db_default=0)
    drain = models.BooleanField(
        default=False, db_default=False, help_text="An operator has asked the worker to drain."
    )
    command = models.CharField(
        max_length=4,
        choices=[("", "nothing"), ("stop", "stop"), ("kill", "kill")],
        default="",
        db_default="",
        blank=True,
        help_text="Final command of an operator.",
    )
    ended = models.CharField(
        max_length=7,
        choices=[("", "unknown"), *WorkerEnd.choices],
        default="",
        db_default="",
        blank=True,
        help_text="How it ended: `drained`, `stopped`, `killed` or `lost`. Empty: not yet, or "
        "unknown, because its coordinator ended first.",
    )
    coordinator = models.UUIDField(null=True)
    join_token = models.ForeignKey(
        "taskmaster_workers.JoinToken",
        on_delete=models.PROTECT,
        null=True,
        related_name="workers",
        help_text="Join token that admitted the worker. Empty: joined over loopback.",
    )
    rss_bytes = models.BigIntegerField(default=0, db_default=0)
    cpu = models.FloatField(default=0, db_default=0, help_text="1.0: one core fully used.")
    tasks_done = models.BigIntegerField(default=0, db_default=0)
    tasks_failed = models.BigIntegerField(default=0, db_default=0)
    loop_lag_ms = models.PositiveIntegerField(default=0, db_default=0)
    heartbeat_misses = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Consecutive missed heartbeats."
    )
    registered_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    objects = WorkerManager()

    class Meta:
        ordering = ["name", "registered_at"]
        indexes = [
            models.Index(
                fields=["pool"],
                condition=~models.Q(status="offline"),
                name="taskmaster_worker_of_pool",
            )
        ]
        permissions = [("kill_worker", "Can kill workers")]

    def __str__(self) -> str:
        return self.name

    @property
    def short_id(self) -> str:
        """Return the start of the id, which distinguishes workers of the same name."""
        return str(self.id)[:SHORT_ID]

    @property
    def is_lost(self) -> bool:
        """Return whether the worker is lost, or has missed heartbeats."""
        if self.status == WorkerStatus.OFFLINE:
            return self.ended == WorkerEnd.LOST
        return self.heartbeat_misses > 0

    @property
    def remark(self) -> str:
        """Return how the worker ended, or its missed heartbeats and the requests of operators."""
        if self.status == WorkerStatus.OFFLINE:
            return _ENDS[self.ended]
        remarks = []
        if self.heartbeat_misses:
            plural = "" if self.heartbeat_misses == 1 else "s"
            remarks.append(f"{self.heartbeat_misses} heartbeat{plural} missed")
        if self.command:
            remarks.append(f"{self.command} requested")
        elif self.drain and self.status == WorkerStatus.ONLINE:
            remarks.append("drain requested")
        return ", ".join(remarks)
