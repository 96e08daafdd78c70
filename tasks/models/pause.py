"""Define the table of pauses: what no coordinator starts until it is resumed."""

from __future__ import annotations

from django.db import models

from taskmaster.tasks.models.time_limits import readable_times
from taskmaster.tasks.models.utc_field import UtcDateTimeField
from taskmaster.tasks.policy_messages import PauseKind
from taskmaster.tasks.registry import MAX_NAME

#: Most characters of a reason.
MAX_REASON = 300
#: The choices of a kind.
KINDS = [(each.value, each.value) for each in PauseKind]


class Pause(models.Model):
    """Store that everything, a queue or a task name is paused. A resume deletes the row.

    Coordinators read all rows when one has changed, so a claim does not read them.
    """

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=KINDS)
    target = models.CharField(
        max_length=MAX_NAME,
        blank=True,
        help_text="Queue or task name. Empty if everything is paused.",
    )
    paused_at = UtcDateTimeField()
    paused_by = models.CharField(
        max_length=150, blank=True, help_text="User name. Empty for the command line."
    )
    reason = models.CharField(max_length=MAX_REASON, blank=True)

    class Meta:
        ordering = ["kind", "target"]
        # Who may view tasks may view pauses: they are reasons why tasks do not run.
        default_permissions = ()
        permissions = [("pause_queue", "Can pause and resume queues, task names and everything")]
        constraints = [
            models.UniqueConstraint(fields=["kind", "target"], name="taskmaster_one_pause"),
            readable_times("taskmaster_paused_times_1970_to_9000", "paused_at"),
        ]

    def __str__(self) -> str:
        return self.sentence

    @property
    def subject(self) -> str:
        """Return what is paused, such as: the queue mail."""
        return self._named(self.target)

    @property
    def sentence(self) -> str:
        """Return what is paused, by whom, since when and why."""
        subject = self._named(f"`{self.target}`")
        by = f" by {self.paused_by}" if self.paused_by else ""
        why = f": {self.reason}" if self.reason else "."
        since = f"{self.paused_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{subject[0].upper()}{subject[1:]} is paused{by} since {since}{why}"

    def _named(self, target: str) -> str:
        match PauseKind(self.kind):
            case PauseKind.EVERYTHING:
                return "everything"
            case PauseKind.QUEUE:
                return f"the queue {target}"
            case PauseKind.NAME:
                return f"the task name {target}"
