"""Define the tables of recurring schedules: the schedules, their runs, and the state of all."""

from __future__ import annotations

from enum import StrEnum

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from taskmaster.tasks.models.json_text import JSONTextField
from taskmaster.tasks.models.time_limits import readable_times
from taskmaster.tasks.models.utc_field import UtcDateTimeField
from taskmaster.tasks.options import MAX_QUEUE, MAX_TAG, ON_LOST_CONTACT
from taskmaster.tasks.registry import MAX_NAME
from taskmaster.tasks.timing.rules import (
    CATCH_UP_S,
    MAX_CRON,
    MAX_SCHEDULE_NAME,
    MAX_ZONE,
    MISSED_MAX,
    MissedPolicy,
    OverlapPolicy,
    RepeatedTime,
    SkippedTime,
    TriggerKind,
)

#: Maximum number of characters of the reason of a run, a pause or an end.
MAX_REASON = 500


class ScheduleSource(StrEnum):
    """List where a schedule is declared."""

    CODE = "code"
    CONSOLE = "console"


class RunKind(StrEnum):
    """List the origins of a run."""

    #: A due time of the schedule.
    SCHEDULED = "scheduled"
    #: A user ran the schedule.
    MANUAL = "manual"
    #: A user back-filled a range of due times.
    BACKFILL = "backfill"


class RunState(StrEnum):
    """List the states of a run: it has a task, or the reason why it has none."""

    #: Its task was created. The task's status is the state of the run.
    CREATED = "created"
    #: It waits until the earlier run has ended, then its task is created (`queue_one`).
    QUEUED = "queued"
    #: Its task was withdrawn before it started: the schedule was edited, paused or deleted.
    WITHDRAWN = "withdrawn"
    PAUSED = "paused"
    #: An earlier run had not ended.
    OVERLAP = "overlap"
    MISSED = "missed"
    #: Missed, and older than the catch-up window.
    OUTSIDE_WINDOW = "outside_window"
    #: The submission was refused, for example because the task does not exist any more.
    REFUSED = "refused"
    #: A user skipped this due time.
    SKIPPED = "skipped"


def _choices(kind: type[StrEnum]) -> list[tuple[str, str]]:
    return [(each.value, each.value) for each in kind]


class Schedule(models.Model):
    """Store a recurring schedule: what it runs, when, and the rules for missed runs and overlaps.

    Only `taskmaster.tasks.schedules` and the coordinators write the rows. Options of the submission
    that are null are those that the task declares when a run is created.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=MAX_SCHEDULE_NAME, unique=True)
    source = models.CharField(
        max_length=8,
        choices=_choices(ScheduleSource),
        default=ScheduleSource.CONSOLE,
        db_default=ScheduleSource.CONSOLE.value,
        editable=False,
    )
    declared_in = models.CharField(
        max_length=300,
        default="",
        db_default="",
        editable=False,
        help_text="File and line of the declaration. Empty unless code declares it.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        # As in Task.created_by: the id stays when the user is deleted.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        editable=False,
        help_text="The runs are submitted in the name of this user.",
    )

    task = models.CharField(
        max_length=MAX_NAME, help_text="Dotted path of a registered callable, or `shell`."
    )
    args = JSONTextField(default=list, db_default=[], blank=True)
    kwargs = JSONTextField(default=dict, db_default={}, blank=True)
    queue = models.CharField(max_length=MAX_QUEUE, null=True, blank=True)
    priority = models.SmallIntegerField(null=True, blank=True)
    max_attempts = models.PositiveIntegerField(null=True, blank=True)
    timeout_s = models.FloatField(null=True, blank=True)
    retry_base_s = models.FloatField(null=True, blank=True)
    retry_cap_s = models.FloatField(null=True, blank=True)
    on_lost_contact = models.CharField(
        max_length=8,
        choices=[(choice, choice) for choice in ON_LOST_CONTACT],
        null=True,
        blank=True,
    )
    tags = ArrayField(models.CharField(max_length=MAX_TAG), null=True, blank=True)

    trigger = models.CharField(max_length=8, choices=_choices(TriggerKind))
    cron = models.CharField(
        max_length=MAX_CRON, default="", db_default="", blank=True, help_text="Five fields."
    )
    interval_s = models.FloatField(null=True, blank=True)
    anchor = UtcDateTimeField(
        null=True, blank=True, help_text="A time at which the interval is due."
    )
    dates = ArrayField(UtcDateTimeField(), default=list, db_default=[], blank=True)
    timezone = models.CharField(max_length=MAX_ZONE, help_text="Name in the IANA database.")
    skipped_time = models.CharField(
        max_length=8,
        choices=_choices(SkippedTime),
        default=SkippedTime.CRON,
        db_default=SkippedTime.CRON.value,
    )
    repeated_time = models.CharField(
        max_length=8,
        choices=_choices(RepeatedTime),
        default=RepeatedTime.CRON,
        db_default=RepeatedTime.CRON.value,
    )
    starts_at = UtcDateTimeField(null=True, blank=True)
    ends_at = UtcDateTimeField(null=True, blank=True)
    max_runs = models.PositiveIntegerField(null=True, blank=True)
    jitter_s = models.FloatField(
        default=0,
        db_default=0,
        help_text="Spread the starts over this number of seconds after the due time.",
    )
    missed = models.CharField(
        max_length=8,
        choices=_choices(MissedPolicy),
        default=MissedPolicy.LATEST,
        db_default=MissedPolicy.LATEST.value,
    )
    missed_max = models.PositiveIntegerField(
        default=MISSED_MAX,
        db_default=MISSED_MAX,
        help_text="Number of missed runs that the policy `all` makes up.",
    )
    catch_up_s = models.FloatField(
        default=CATCH_UP_S,
        db_default=CATCH_UP_S,
        help_text="Missed runs are made up for this number of seconds.",
    )
    overlap = models.CharField(
        max_length=16,
        choices=_choices(OverlapPolicy),
        default=OverlapPolicy.ALLOW,
        db_default=OverlapPolicy.ALLOW.value,
    )

    paused_at = UtcDateTimeField(null=True, editable=False)
    paused_by = models.CharField(max_length=150, default="", db_default="", editable=False)
    pause_reason = models.CharField(
        max_length=MAX_REASON, default="", db_default="", editable=False
    )
    ended_at = UtcDateTimeField(null=True, editable=False)
    ended_reason = models.CharField(
        max_length=MAX_REASON, default="", db_default="", editable=False
    )

    next_due_at = UtcDateTimeField(
        null=True,
        editable=False,
        help_text="The earliest due time without a row. Null after the last one.",
    )
    next_run_at = UtcDateTimeField(
        null=True, editable=False, help_text="`next_due_at` with jitter."
    )
    runs_made = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    version = models.BigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Increases with every change by a user. Fences runs of an older version.",
    )
    created_at = UtcDateTimeField(db_default=Now(), editable=False)
    changed_at = UtcDateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]
        # A user who may change schedules may also create and delete them.
        default_permissions = ("view", "change")
        permissions = [("run_schedule", "Can run, pause and back-fill schedules")]
        constraints = [
            readable_times(
                "taskmaster_schedule_times_1970_to_9000",
                *("anchor", "starts_at", "ends_at", "paused_at", "next_due_at", "next_run_at"),
                arrays=("dates",),
            )
        ]
        indexes = [
            # Serve the search for schedules whose runs are to be created: ahead of time if overlaps
            # are allowed, else when they are due.
            models.Index(
                "next_run_at",
                name="taskmaster_schedules_ahead",
                condition=models.Q(
                    next_run_at__isnull=False,
                    paused_at__isnull=True,
                    overlap=OverlapPolicy.ALLOW.value,
                ),
            ),
            models.Index(
                "next_run_at",
                name="taskmaster_schedules_due",
                condition=models.Q(next_run_at__isnull=False)
                & (
                    models.Q(paused_at__isnull=False) | ~models.Q(overlap=OverlapPolicy.ALLOW.value)
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ScheduleRun(models.Model):
    """Store one due time of a schedule, or one manual or back-filled run.

    A row has the id of its task, or the reason why there is none. Consecutive rows without a task
    and with the same state and reason are folded into one: `due_at` is then the first due time,
    `last_due_at` the last, and `count` their number.
    """

    id = models.BigAutoField(primary_key=True)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(
        max_length=9,
        choices=_choices(RunKind),
        default=RunKind.SCHEDULED,
        db_default=RunKind.SCHEDULED.value,
    )
    due_at = UtcDateTimeField()
    last_due_at = UtcDateTimeField(null=True)
    count = models.PositiveBigIntegerField(default=1, db_default=1)
    run_at = UtcDateTimeField(help_text="`due_at` with jitter: when its task may start.")
    state = models.CharField(max_length=16, choices=_choices(RunState))
    reason = models.CharField(max_length=MAX_REASON, default="", db_default="")
    task_id = models.BigIntegerField(null=True)
    settled = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether its task is known to have ended. Overlaps read only the other rows.",
    )
    outcome = models.CharField(
        max_length=9,
        default="",
        db_default="",
        help_text="Status of its task when the task was deleted.",
    )
    user = models.CharField(
        max_length=150, default="", db_default="", help_text="Who ran or skipped it."
    )
    created_at = UtcDateTimeField(db_default=Now())

    class Meta:
        ordering = ["-due_at", "-id"]
        default_permissions = ()
        constraints = [
            # One task per due time, whatever number of coordinators create runs.
            models.UniqueConstraint(
                fields=["schedule", "due_at"],
                condition=models.Q(kind="scheduled") & ~models.Q(state="withdrawn"),
                name="taskmaster_one_run_per_due_time",
            )
        ]
        indexes = [
            models.Index(fields=["schedule", "-due_at", "-id"], name="taskmaster_runs_newest"),
            # Serves the summary of the last day.
            models.Index(fields=["-run_at"], name="taskmaster_runs_by_time"),
            # Finds the runs that have not ended, for the overlap policies.
            models.Index(
                "schedule",
                name="taskmaster_runs_unsettled",
                condition=models.Q(task_id__isnull=False, settled=False),
            ),
            models.Index(
                "schedule", name="taskmaster_runs_queued", condition=models.Q(state="queued")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.due_at:%Y-%m-%d %H:%M:%S}"


class SchedulerState(models.Model):
    """Store the state of all schedules in one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    checked_at = UtcDateTimeField(
        null=True, help_text="When the leading coordinator last searched for due schedules."
    )
    leader = models.UUIDField(null=True, help_text="Coordinator that made this search.")
    paused_at = UtcDateTimeField(null=True, help_text="Since when everything is paused.")
    paused_by = models.CharField(max_length=150, default="", db_default="")
    pause_reason = models.CharField(max_length=MAX_REASON, default="", db_default="")
    missed_total = models.BigIntegerField(
        default=0, db_default=0, help_text="Missed due times of all schedules."
    )

    class Meta:
        default_permissions = ()
        constraints = [
            readable_times("taskmaster_pause_times_1970_to_9000", "checked_at", "paused_at")
        ]

    def __str__(self) -> str:
        return f"checked {self.checked_at}"
