"""The pool: how many workers of a kind there shall be, and what was found of them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from workers.pools.names import NAME


class Provider(models.TextChoices):
    """Who runs the workers."""

    LOCAL = "local", "local: processes beside the coordinator"
    COMPOSE = "compose", "compose: the service of the pool's name"
    KUBERNETES = "kubernetes", "kubernetes: the Deployment of the pool's name"


class Kind(models.TextChoices):
    """How its workers run Python tasks."""

    PROCESS = "process"
    THREADS = "threads"
    ASYNC = "async"


class State(models.TextChoices):
    """What the reconciler is about."""

    STEADY = "steady", "steady"
    SCALING = "scaling", "scaling"
    BACKING_OFF = "backing_off", "backing off"
    PROVIDER_FAILED = "provider_failed", "provider failed"


class WorkerPool(models.Model):
    """Desired state, and below it what the reconciler found last."""

    name = models.CharField(
        max_length=63,
        unique=True,
        help_text="Up to 63 of a-z, 0-9 and -; with compose and kubernetes also the name of the "
        "service or Deployment.",
    )
    provider = models.CharField(
        max_length=10, choices=Provider, default=Provider.LOCAL, db_default="local"
    )
    desired = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How many workers there shall be."
    )
    minimum = models.PositiveIntegerField(default=0, db_default=0)
    maximum = models.PositiveIntegerField(default=50, db_default=50)
    concurrency = models.PositiveIntegerField(
        default=4, db_default=4, help_text="Slots of each worker."
    )
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.PROCESS, db_default="process")
    queues = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        blank=True,
        help_text="Empty: every queue.",
    )
    environment = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="Variables: text to text."
    )
    stop_limit_s = models.FloatField(
        default=3_600,
        db_default=3_600,
        help_text="How long a worker that is told to go may finish what it runs.",
    )

    autoscale = models.BooleanField(default=False, db_default=False)
    target_wait_s = models.FloatField(
        default=10, db_default=10, help_text="Tasks shall wait no longer."
    )
    cool_down_s = models.FloatField(
        default=60, db_default=60, help_text="From one scaling to the next."
    )
    scaled_at = models.DateTimeField(null=True, editable=False)

    actual = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    registered = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    draining = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    state = models.CharField(
        max_length=15, choices=State, default=State.STEADY, db_default="steady", editable=False
    )
    error = models.TextField(default="", db_default="", editable=False)
    last_log = models.TextField(
        default="", db_default="", editable=False, help_text="Of a worker that died."
    )
    failures = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Deaths at start in a row."
    )
    retry_at = models.DateTimeField(null=True, editable=False)
    reconciled_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [("scale_pool", "Can scale pools")]
        constraints = [
            models.CheckConstraint(
                condition=Q(minimum__lte=F("desired"), desired__lte=F("maximum")),
                name="pool_desired_within_bounds",
            ),
            models.CheckConstraint(
                condition=Q(name__regex=f"^{NAME}$"), name="pool_name_is_a_label"
            ),
            models.CheckConstraint(condition=Q(concurrency__gte=1), name="pool_has_slots"),
        ]

    def __str__(self) -> str:
        return self.name


class PoolMember(models.Model):
    """A process that the `local` provider started and looks after, on one host.

    The pid alone may be another process's by now: it counts together with `born`.
    """

    pool = models.CharField(max_length=63, help_text="By name: a member outlives its pool's row.")
    name = models.CharField(max_length=100, unique=True, help_text="The worker's.")
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField(null=True, help_text="NULL: about to be started.")
    born = models.BigIntegerField(null=True, help_text="When it started, by the kernel's clock.")
    log_path = models.TextField()
    started_at = models.DateTimeField(db_default=Now())
    stop_asked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pool", "started_at", "id"]
        indexes = [models.Index(fields=["pool"], name="member_by_pool")]

    def __str__(self) -> str:
        return self.name
