"""The task: what is to be done, when, and how it went."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, When
from django.db.models.fields.json import KT
from django.db.models.functions import Left, Now

from tasks.lifecycle import Status
from tasks.registry import SHELL
from tasks.submission import (
    CONTINUE,
    MAX_NAME,
    MAX_PRIORITY,
    MAX_QUEUE,
    MAX_TAG,
    MIN_PRIORITY,
    ON_LOST_CONTACT,
)


def command_head(longest: int = 120) -> Case:
    """For a list: the head of a shell command in so many characters, null for a callable."""
    return Case(When(name=SHELL, then=Left(KT("kwargs__command"), longest)))


class Task(models.Model):
    """One task. Its status is changed by `tasks.store` alone; a screen only reads it."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(
        max_length=MAX_NAME, help_text="Dotted path of a registered callable, or `shell`."
    )
    args = models.JSONField(default=list, db_default=[], blank=True)
    kwargs = models.JSONField(default=dict, db_default={}, blank=True)
    queue = models.CharField(max_length=MAX_QUEUE, default="default", db_default="default")
    priority = models.SmallIntegerField(
        default=0,
        db_default=0,
        validators=[MinValueValidator(MIN_PRIORITY), MaxValueValidator(MAX_PRIORITY)],
        help_text="-100 to 100, higher first.",
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
    timeout_s = models.FloatField(help_text="Hard time-out of an attempt in seconds; 0: none.")
    retry_base_s = models.FloatField(
        default=1, db_default=1, help_text="First pause before a retry in seconds; it doubles."
    )
    retry_cap_s = models.FloatField(
        default=600, db_default=600, help_text="The longest pause before a retry in seconds."
    )
    on_lost_contact = models.CharField(
        max_length=8,
        choices=[(choice, choice) for choice in ON_LOST_CONTACT],
        default=CONTINUE,
        db_default=CONTINUE,
        help_text="What its worker does with it when no coordinator can be reached.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        # No constraint and no index: a submission pays for neither, and deleting a user must not
        # scan the history. The id stays as it was.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        editable=False,
    )

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    scheduled_at = models.DateTimeField(db_default=Now(), help_text="Not started before this time.")
    picked_at = models.DateTimeField(null=True, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    completed_at = models.DateTimeField(null=True, editable=False)
    failed_at = models.DateTimeField(null=True, editable=False)
    cancelled_at = models.DateTimeField(null=True, editable=False)

    lease = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="Fencing token: rises with every claim."
    )
    attempt = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Accepted executions so far."
    )
    coordinator = models.UUIDField(null=True, editable=False, help_text="Who holds the lease.")
    worker = models.CharField(
        max_length=100,
        default="",
        db_default="",
        editable=False,
        help_text="Name of the worker of the newest attempt.",
    )
    worker_id = models.UUIDField(null=True, editable=False)
    errors = models.JSONField(
        default=list, db_default=[], editable=False, help_text="One entry an attempt that failed."
    )
    result = models.JSONField(null=True, editable=False)

    class Meta:
        permissions = [("submit_shell", "Can submit shell commands")]
        indexes = [
            # The claim: a range scan of each (queue, priority).
            models.Index(
                "queue",
                "priority",
                "scheduled_at",
                "id",
                name="idx_tasks_scheduled_at",
                condition=models.Q(status="pending"),
            ),
            # Rescue: what a coordinator or a worker that died holds.
            models.Index(
                "coordinator",
                name="idx_tasks_in_flight",
                condition=models.Q(status__in=["picked", "started"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.name}"

    @property
    def finished_at(self) -> datetime | None:
        """When it completed, failed or was cancelled; None while it has not."""
        return self.completed_at or self.failed_at or self.cancelled_at
