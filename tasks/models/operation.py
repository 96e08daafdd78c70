"""Define the table of bulk operations: action, selected tasks or due times, user and progress."""

from __future__ import annotations

from enum import StrEnum

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from taskmaster.tasks.bulk_actions import RULES, Action, format_run_count, format_task_count
from taskmaster.tasks.options import MAX_QUEUE
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME


class OperationState(StrEnum):
    """List the states of a bulk operation."""

    PREVIEW = "preview"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    FAILED = "failed"


#: States in which a coordinator processes the operation.
ACTIVE = (OperationState.QUEUED, OperationState.RUNNING)


class Operation(models.Model):
    """Store a bulk operation. A coordinator runs it in chunks.

    Only `taskmaster.tasks.bulk` writes the rows. The operation applies to the tasks that `filter`
    selects or `ids` lists, and that its action can change. Tasks with an id above `upper_id` are
    not changed. All tasks up to the id `cursor` are processed, so none is processed twice.

    The back-fill of a schedule has none of these. It creates a run for each due time from
    `first_due_at` to `last_due_at`. All due times up to `created_until` have their runs.
    """

    id = models.BigAutoField(primary_key=True)
    action = models.CharField(max_length=16, choices=[(each.value, each.value) for each in Action])
    filter = models.JSONField(
        null=True,
        help_text="Filters of the task list by name. Null for ids, and for a back-fill.",
    )
    ids = ArrayField(
        models.BigIntegerField(),
        null=True,
        help_text="Sorted ids. Null for a filter, and for a back-fill.",
    )
    queue = models.CharField(
        max_length=MAX_QUEUE, default="", help_text="New queue, for set_queue only."
    )
    priority = models.SmallIntegerField(null=True, help_text="New priority, for set_priority only.")
    schedule = models.ForeignKey(
        "taskmaster_tasks.Schedule",
        null=True,
        # As in Task.schedule: the id stays when the schedule is deleted.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Schedule to back-fill. Null for an operation on tasks.",
    )
    schedule_name = models.CharField(max_length=MAX_SCHEDULE_NAME, default="", db_default="")
    schedule_digest = models.CharField(
        max_length=64,
        default="",
        db_default="",
        help_text="SHA-256 of the fields that decide the due times and the tasks.",
    )
    first_due_at = models.DateTimeField(null=True, help_text="First due time of a back-fill.")
    last_due_at = models.DateTimeField(null=True, help_text="Last due time of a back-fill.")
    created_until = models.DateTimeField(
        null=True, help_text="Due times of a back-fill up to this one have their runs."
    )
    state = models.CharField(
        max_length=16,
        choices=[(each.value, each.value) for each in OperationState],
        default=OperationState.PREVIEW,
    )
    total = models.BigIntegerField(
        help_text="Number of tasks to change, or of runs to create, as counted for the preview."
    )
    at_least = models.BooleanField(
        default=False, help_text="Whether `total` is a lower bound, because the count timed out."
    )
    upper_id = models.BigIntegerField(default=0, db_default=0)
    cursor = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    refused = models.JSONField(default=dict, help_text="Number of refused tasks by reason.")
    error = models.TextField(default="", help_text="Error that ended the operation.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        # As in Task.created_by: the id stays when the user is deleted.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    user = models.CharField(
        max_length=150, help_text="Name of the user. Empty for the command line."
    )
    cancelled_by = models.CharField(max_length=150, default="")
    created_at = models.DateTimeField(db_default=Now())
    confirmed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    progressed_at = models.DateTimeField(null=True, help_text="End of the newest chunk.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        # Permissions on tasks also apply to bulk operations, and those on schedules to back-fills.
        default_permissions = ()
        indexes = [
            models.Index(
                "progressed_at",
                name="taskmaster_operations_active",
                condition=models.Q(state__in=[each.value for each in ACTIVE]),
            ),
            # Serves the page of a schedule.
            models.Index(
                fields=["schedule", "-id"],
                name="taskmaster_operations_schedule",
                condition=models.Q(schedule__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.action}"

    @property
    def active(self) -> bool:
        """Return whether the operation is confirmed and has not ended."""
        return self.state in ACTIVE

    @property
    def refusals(self) -> int:
        """Return the number of refused tasks, for all reasons together."""
        return sum(self.refused.values())

    @property
    def selection(self) -> str:
        """Return the selection as text: `queue=mail, status=failed`."""
        if self.first_due_at is not None and self.last_due_at is not None:
            return f"due from {self.first_due_at.isoformat()} to {self.last_due_at.isoformat()}"
        if self.ids is not None:
            return f"{len(self.ids):,} selected by id"
        return (
            ", ".join(f"{name}={value}" for name, value in sorted((self.filter or {}).items()))
            or "all"
        )

    @property
    def title(self) -> str:
        """Return the intended change without the selection: `cancel 1,284 tasks`."""
        rule = RULES[Action(self.action)]
        return self._format(rule.infinitive, self.total, at_least=self.at_least)

    @property
    def intent(self) -> str:
        """Return the intended change as text: `cancel 1,284 tasks (status=failed)`."""
        return f"{self.title}{self._suffix}"

    @property
    def outcome(self) -> str:
        """Return the result so far as text: `cancelled 1,284 tasks (status=failed), 3 refused`."""
        text = f"{self._format(RULES[Action(self.action)].past, self.done)}{self._suffix}"
        return f"{text}, {self.refusals:,} refused" if self.refused else text

    @property
    def _suffix(self) -> str:
        """Return the selection for events, whose readers may not see schedules' due times."""
        return "" if self.action == Action.BACKFILL else f" ({self.selection})"

    def _format(self, template: str, count: int, *, at_least: bool = False) -> str:
        return template.format(
            tasks=format_task_count(count, at_least=at_least),
            runs=format_run_count(count),
            queue=self.queue,
            priority=self.priority,
            schedule=self.schedule_name,
        )
