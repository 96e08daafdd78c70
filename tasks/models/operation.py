"""Define the table of bulk operations: action, selected tasks, user and progress."""

from __future__ import annotations

from enum import StrEnum

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from taskmaster.tasks.bulk_actions import RULES, Action, format_task_count
from taskmaster.tasks.options import MAX_QUEUE


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
    """

    id = models.BigAutoField(primary_key=True)
    action = models.CharField(max_length=16, choices=[(each.value, each.value) for each in Action])
    filter = models.JSONField(
        null=True, help_text="Filters of the task list by name. Null if the operation has ids."
    )
    ids = ArrayField(
        models.BigIntegerField(),
        null=True,
        help_text="Sorted ids. Null if the operation has a filter.",
    )
    queue = models.CharField(
        max_length=MAX_QUEUE, default="", help_text="New queue, for set_queue only."
    )
    priority = models.SmallIntegerField(null=True, help_text="New priority, for set_priority only.")
    state = models.CharField(
        max_length=16,
        choices=[(each.value, each.value) for each in OperationState],
        default=OperationState.PREVIEW,
    )
    total = models.BigIntegerField(
        help_text="Number of tasks to change, as counted for the preview."
    )
    at_least = models.BooleanField(
        default=False, help_text="Whether `total` is a lower bound, because the count timed out."
    )
    upper_id = models.BigIntegerField()
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
        # Permissions on tasks also apply to bulk operations.
        default_permissions = ()
        indexes = [
            models.Index(
                "progressed_at",
                name="taskmaster_operations_active",
                condition=models.Q(state__in=[each.value for each in ACTIVE]),
            )
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
        if self.ids is not None:
            return f"{len(self.ids):,} selected by id"
        return (
            ", ".join(f"{name}={value}" for name, value in sorted((self.filter or {}).items()))
            or "all"
        )

    @property
    def intent(self) -> str:
        """Return the intended change as text: `cancel 1,284 tasks (status=failed)`."""
        tasks = format_task_count(self.total, at_least=self.at_least)
        return self._format(RULES[Action(self.action)].infinitive, tasks)

    @property
    def outcome(self) -> str:
        """Return the result so far as text: `cancelled 1,284 tasks (status=failed), 3 refused`."""
        text = self._format(RULES[Action(self.action)].past, format_task_count(self.done))
        return f"{text}, {self.refusals:,} refused" if self.refused else text

    def _format(self, text: str, tasks: str) -> str:
        text = text.format(tasks=tasks, queue=self.queue, priority=self.priority)
        return f"{text} ({self.selection})"
