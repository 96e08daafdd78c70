"""An operation on many tasks: what, on which, who, and how far it is."""

from __future__ import annotations

from enum import StrEnum

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tasks.bulk.actions import RULES, Action, tasks_in_words
from tasks.submission import MAX_QUEUE


class State(StrEnum):
    """Where an operation stands."""

    PREVIEW = "preview"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    FAILED = "failed"


#: The coordinators see to it.
ACTIVE = (State.QUEUED, State.RUNNING)


class Operation(models.Model):
    """Written by `tasks.bulk` alone; a coordinator runs it chunk by chunk.

    It concerns the tasks that `filter` selects or `ids` names; of these the ones that its action
    can change. Tasks later than `upper_id` are not touched, and none is handled twice: `cursor` is
    the id up to which all are done.
    """

    id = models.BigAutoField(primary_key=True)
    action = models.CharField(max_length=16, choices=[(each.value, each.value) for each in Action])
    filter = models.JSONField(null=True, help_text="Names and values as in the list of tasks.")
    ids = ArrayField(models.BigIntegerField(), null=True, help_text="In place of a filter; sorted.")
    queue = models.CharField(max_length=MAX_QUEUE, default="", help_text="Of set_queue.")
    priority = models.SmallIntegerField(null=True, help_text="Of set_priority.")
    state = models.CharField(
        max_length=16, choices=[(each.value, each.value) for each in State], default=State.PREVIEW
    )
    total = models.BigIntegerField(help_text="Tasks that it would change, as counted before.")
    at_least = models.BooleanField(
        default=False, help_text="The count took too long; there are more, or as many."
    )
    upper_id = models.BigIntegerField()
    cursor = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    refused = models.JSONField(default=dict, help_text="How many tasks were refused, by reason.")
    error = models.TextField(default="", help_text="Why it failed.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        # As of a task: the id stays when the user is deleted.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    user = models.CharField(max_length=150, help_text="Name; empty: the command line.")
    cancelled_by = models.CharField(max_length=150, default="")
    created_at = models.DateTimeField(db_default=Now())
    confirmed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    progressed_at = models.DateTimeField(null=True, help_text="When its newest chunk was done.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        # Whoever may see and change tasks may see and make operations.
        default_permissions = ()
        indexes = [
            models.Index(
                "progressed_at",
                name="idx_operations_active",
                condition=models.Q(state__in=[each.value for each in ACTIVE]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.action}"

    @property
    def active(self) -> bool:
        """It was confirmed and has not ended."""
        return self.state in ACTIVE

    @property
    def refusals(self) -> int:
        """How many tasks were refused for whatever reason."""
        return sum(self.refused.values())

    @property
    def selection(self) -> str:
        """Which tasks, for a person: `queue=mail, status=failed`."""
        if self.ids is not None:
            return f"{len(self.ids):,} named"
        return (
            ", ".join(f"{name}={value}" for name, value in sorted((self.filter or {}).items()))
            or "all"
        )

    @property
    def intent(self) -> str:
        """What it is to do: `cancel 1,284 tasks (status=failed)`."""
        tasks = tasks_in_words(self.total, at_least=self.at_least)
        return self._words(RULES[Action(self.action)].begin, tasks)

    @property
    def outcome(self) -> str:
        """What it has done so far: `cancelled 1,284 tasks (status=failed), 3 refused`."""
        words = self._words(RULES[Action(self.action)].done, tasks_in_words(self.done))
        return f"{words}, {self.refusals:,} refused" if self.refused else words

    def _words(self, words: str, tasks: str) -> str:
        said = words.format(tasks=tasks, queue=self.queue, priority=self.priority)
        return f"{said} ({self.selection})"
