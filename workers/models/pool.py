"""Define the worker pool: its desired state and the state that was observed."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from taskmaster.workers.names import POOL_NAME


class ProviderName(models.TextChoices):
    """Name the engine that runs the workers."""

    LOCAL = "local", "local: processes on the coordinator's host"
    COMPOSE = "compose", "compose: the service of the pool's name"
    KUBERNETES = "kubernetes", "kubernetes: the Deployment of the pool's name"


class Executor(models.TextChoices):
    """Name the executor kind: how the workers run Python tasks."""

    PROCESS = "process"
    THREAD = "thread"
    ASYNC = "async"


class PoolState(models.TextChoices):
    """Name the activity of the reconciler for a pool."""

    STEADY = "steady", "steady"
    SCALING = "scaling", "scaling"
    BACKING_OFF = "backing_off", "backing off"
    PROVIDER_FAILED = "provider_failed", "provider failed"


class WorkerPool(models.Model):
    """Store the desired state of a pool and the last findings of the reconciler."""

    name = models.CharField(
        max_length=63,
        unique=True,
        help_text="1 to 63 of a-z, 0-9 and -. With compose and kubernetes also the name of the "
        "service or Deployment.",
    )
    provider = models.CharField(
        max_length=10, choices=ProviderName, default=ProviderName.LOCAL, db_default="local"
    )
    desired = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Desired number of workers."
    )
    minimum = models.PositiveIntegerField(default=0, db_default=0)
    maximum = models.PositiveIntegerField(default=50, db_default=50)
    concurrency = models.PositiveIntegerField(
        default=4, db_default=4, help_text="Slots per worker."
    )
    executor = models.CharField(
        max_length=7, choices=Executor, default=Executor.PROCESS, db_default="process"
    )
    queues = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        blank=True,
        help_text="Empty: every queue.",
    )
    environment = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="Environment variables: an object whose values are strings.",
    )
    stop_limit_s = models.FloatField(
        default=3_600,
        db_default=3_600,
        help_text="Seconds that a stopping worker may spend to finish its tasks.",
    )

    autoscale = models.BooleanField(default=False, db_default=False)
    target_wait_s = models.FloatField(
        default=10,
        db_default=10,
        help_text="Target: longest wait of a task for a worker, in seconds.",
    )
    cool_down_s = models.FloatField(
        default=60, db_default=60, help_text="Seconds of low load before the pool shrinks."
    )
    scaled_at = models.DateTimeField(null=True, editable=False)

    actual = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    registered = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    draining = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    state = models.CharField(
        max_length=15,
        choices=PoolState,
        default=PoolState.STEADY,
        db_default="steady",
        editable=False,
    )
    error = models.TextField(default="", db_default="", editable=False)
    last_log = models.TextField(
        default="", db_default="", editable=False, help_text="Last log lines of a dead worker."
    )
    failures = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Consecutive failures."
    )
    retry_at = models.DateTimeField(null=True, editable=False)
    reconciled_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("scale_pool", "Can scale pools"),
            ("set_pool_environment", "Can set the environment of pools"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(minimum__lte=F("desired"), desired__lte=F("maximum")),
                name="taskmaster_pool_within_bounds",
            ),
            models.CheckConstraint(
                condition=Q(name__regex=f"^{POOL_NAME}$"), name="taskmaster_pool_name_is_a_label"
            ),
            models.CheckConstraint(
                condition=Q(concurrency__gte=1), name="taskmaster_pool_has_slots"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PoolMember(models.Model):
    """Store a process that the `local` provider started on one host.

    A pid may be reused by another process. It identifies the process only together with `born`.
    """

    pool = models.CharField(
        max_length=63, help_text="Name of the pool. The process may outlive its pool."
    )
    name = models.CharField(max_length=100, unique=True, help_text="Name of the worker.")
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField(null=True, help_text="NULL: not started yet.")
    born = models.BigIntegerField(null=True, help_text="Start time of the process in kernel units.")
    log_path = models.TextField()
    started_at = models.DateTimeField(db_default=Now())
    stop_asked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pool", "started_at", "id"]
        indexes = [models.Index(fields=["pool"], name="taskmaster_member_by_pool")]

    def __str__(self) -> str:
        return self.name
