"""Define the table of tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, When
from django.db.models.fields.json import KT
from django.db.models.functions import Left, Now

from taskmaster.tasks.lifecycle import Status, WaitingReason
from taskmaster.tasks.models.json_text import JSONTextField
from taskmaster.tasks.models.time_limits import readable_times
from taskmaster.tasks.options import (
    CONTINUE,
    MAX_PRIORITY,
    MAX_QUEUE,
    MAX_TAG,
    MIN_PRIORITY,
    ON_LOST_CONTACT,
)
from taskmaster.tasks.registry import MAX_NAME, SHELL


def command_head(longest: int = 120) -> Case:
    """Select the first `longest` characters of a shell command, for lists. Null for a callable."""
    return Case(When(name=SHELL, then=Left(KT("kwargs__command"), longest)))


class StoredColumn(models.GeneratedField):
    """Define a stored generated column, which every supported PostgreSQL has.

    From Django 6.1 on, the system check of the field asks each database for its version. A shard or
    a server that does not answer would then stop every command.
    """

    def _check_supported(self, databases: Any) -> list[Any]:
        return []

    def deconstruct(self) -> Any:
        """Return the field as Django's own, for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.GeneratedField", args, kwargs


class Task(models.Model):
    """Store one task: the call, its schedule, its status and its outcome.

    Only the statements in `tasks/sql/` change `status`, each with its guard. See
    `taskmaster.tasks.lifecycle`.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(
        max_length=MAX_NAME, help_text="Dotted path of a registered callable, or `shell`."
    )
    args = JSONTextField(default=list, db_default=[], blank=True)
    kwargs = JSONTextField(default=dict, db_default={}, blank=True)
    queue = models.CharField(max_length=MAX_QUEUE, default="default", db_default="default")
    priority = models.SmallIntegerField(
        default=0,
        db_default=0,
        validators=[MinValueValidator(MIN_PRIORITY), MaxValueValidator(MAX_PRIORITY)],
        help_text="From -100 to 100. Higher priorities start first.",
    )
    status = models.CharField(
        max_length=16,
        choices=[(status.value, status.value) for status in Status],
        default=Status.PENDING,
        db_default=Status.PENDING.value,
        editable=False,
    )
    tags = ArrayField(models.CharField(max_length=MAX_TAG), default=list, db_default=[], blank=True)
    max_attempts = models.PositiveIntegerField()
    timeout_s = models.FloatField(
        help_text="Hard time-out of an attempt in seconds. 0 disables it."
    )
    retry_base_s = models.FloatField(
        default=1,
        db_default=1,
        help_text="Pause before the first retry in seconds. It doubles with each retry.",
    )
    retry_cap_s = models.FloatField(
        default=600, db_default=600, help_text="Maximum pause before a retry in seconds."
    )
    on_lost_contact = models.CharField(
        max_length=8,
        choices=[(choice, choice) for choice in ON_LOST_CONTACT],
        default=CONTINUE,
        db_default=CONTINUE,
        help_text="Whether the worker continues or stops the task when it loses contact.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        # No constraint and no index: both slow down submissions, and deleting a user must not scan
        # all tasks. The id stays when the user is deleted.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        editable=False,
    )
    # As `created_by`, without constraint. The id stays when the schedule is deleted.
    schedule = models.ForeignKey(
        "taskmaster_tasks.Schedule",
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        editable=False,
        help_text="Schedule that submitted the task.",
    )
    scheduled_for = models.DateTimeField(
        null=True, editable=False, help_text="Due time of the schedule, without jitter."
    )

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    scheduled_at = models.DateTimeField(
        db_default=Now(), help_text="The task does not start before this time."
    )
    picked_at = models.DateTimeField(null=True, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    completed_at = models.DateTimeField(null=True, editable=False)
    failed_at = models.DateTimeField(null=True, editable=False)
    cancelled_at = models.DateTimeField(null=True, editable=False)

    lease = models.BigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Fencing token. It increases with every claim.",
    )
    unused_leases = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Number of leases under which no attempt can have run.",
    )
    attempt = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Number of attempts that a worker accepted.",
    )
    coordinator = models.UUIDField(
        null=True, editable=False, help_text="Id of the coordinator that holds the lease."
    )
    worker = models.CharField(
        max_length=100,
        default="",
        db_default="",
        editable=False,
        help_text="Name of the worker of the newest attempt.",
    )
    worker_id = models.UUIDField(null=True, editable=False)
    errors = models.JSONField(
        default=list, db_default=[], editable=False, help_text="One entry for each failed attempt."
    )
    # PostgreSQL computes it when an attempt fails, so lists and searches read no tracebacks.
    error = StoredColumn(
        expression=models.Func(
            "errors",
            function="taskmaster_tasks_error_line",
            output_field=models.TextField(null=True),
        ),
        output_field=models.TextField(null=True),
        db_persist=True,
        help_text="Class and first line of the message of the newest failed attempt.",
    )
    result = JSONTextField(null=True, editable=False)
    waiting_reason = models.CharField(
        max_length=16,
        choices=[(reason.value, reason.value) for reason in WaitingReason],
        default="",
        db_default="",
        blank=True,
        editable=False,
        help_text="Why a waiting task is parked. Empty in any other status.",
    )
    waiting_for = models.CharField(
        max_length=MAX_NAME,
        default="",
        db_default="",
        blank=True,
        editable=False,
        help_text="Task name that no connected worker knows. Empty unless it is waiting.",
    )

    class Meta:
        permissions = [("submit_shell", "Can submit shell commands")]
        constraints = [
            readable_times(
                "taskmaster_task_times_1970_to_9000", "scheduled_at", "created_at", "scheduled_for"
            )
        ]
        indexes = [
            # Serves the claim with a range scan of each (queue, priority).
            models.Index(
                "queue",
                "priority",
                "scheduled_at",
                "id",
                name="idx_tasks_scheduled_at",
                condition=models.Q(status="pending"),
            ),
            # Serves the rescue of tasks that a dead coordinator or worker holds.
            models.Index(
                "coordinator",
                name="taskmaster_tasks_in_flight",
                condition=models.Q(status__in=["picked", "started"]),
            ),
            # Finds the parked tasks whose reason is removed.
            models.Index(
                "waiting_reason",
                "waiting_for",
                "queue",
                name="taskmaster_tasks_waiting",
                condition=models.Q(status="waiting"),
            ),
            # Lists the tasks of a schedule.
            models.Index(
                fields=["schedule", "-id"],
                name="taskmaster_tasks_of_schedule",
                condition=models.Q(schedule__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.name}"

    @property
    def finished_at(self) -> datetime | None:
        """Return when the task completed, failed or was cancelled, or None."""
        return self.completed_at or self.failed_at or self.cancelled_at
