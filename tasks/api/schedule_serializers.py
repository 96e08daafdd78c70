"""Serialize schedules, their previews and their runs to JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from taskmaster.tasks import registry
from taskmaster.tasks.api.conventions import IsoDateTimeField, IsoTimes
from taskmaster.tasks.api.serializers import NOTICE
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun
from taskmaster.tasks.schedules.stored import state_of, timing_of
from taskmaster.tasks.timing.preview import PreviewRow
from taskmaster.tasks.timing.words import describe

_LISTED = [
    "id",
    "name",
    "source",
    "declared_in",
    "owner",
    "task",
    "queue",
    "priority",
    "max_attempts",
    "timeout_s",
    "retry_base_s",
    "retry_cap_s",
    "on_lost_contact",
    "tags",
    "words",
    "trigger",
    "cron",
    "interval_s",
    "anchor",
    "dates",
    "timezone",
    "skipped_time",
    "repeated_time",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_s",
    "missed",
    "missed_max",
    "catch_up_s",
    "overlap",
    "state",
    "paused_at",
    "paused_by",
    "pause_reason",
    "ended_at",
    "ended_reason",
    "next_due_at",
    "next_run_at",
    "runs_made",
    "version",
    "created_at",
    "changed_at",
]


class ScheduleRowSerializer(IsoTimes, serializers.ModelSerializer[Schedule]):
    """Recurring schedule in a list, without the arguments of its task."""

    owner = serializers.SerializerMethodField(
        help_text="Name of the user in whose name the runs are submitted. Null: none."
    )
    words = serializers.SerializerMethodField(
        help_text='When it is due in plain English, such as "every day at 02:30".'
    )
    # An option of null is the one that the task declares when a run is created.
    on_lost_contact = serializers.CharField(allow_null=True)
    cron = serializers.SerializerMethodField(help_text="Null unless it is the trigger.")
    dates = serializers.SerializerMethodField(help_text="Null unless they are the trigger.")
    # As a choice it would share a name in the schema with the state of a bulk operation.
    state = serializers.SerializerMethodField(help_text="active, paused or ended")

    class Meta:
        model = Schedule
        fields = _LISTED
        read_only_fields = _LISTED

    def get_owner(self, schedule: Schedule) -> str | None:
        """Return the name of the owner. None without one, and for a deleted user."""
        return schedule.owner.get_username() if schedule.owner else None

    def get_words(self, schedule: Schedule) -> str:
        """Return the description of the timing."""
        return describe(timing_of(schedule))

    def get_cron(self, schedule: Schedule) -> str | None:
        """Return the expression, or None."""
        return schedule.cron or None

    def get_dates(self, schedule: Schedule) -> list[str] | None:
        """Return the dates, or None."""
        field = IsoDateTimeField()
        return [field.to_representation(each) for each in schedule.dates] or None

    def get_state(self, schedule: Schedule) -> str:
        """Return the state. A pause of all schedules is not part of it."""
        return state_of(schedule)


class ScheduleSerializer(ScheduleRowSerializer):
    """Recurring schedule with all fields."""

    args = serializers.ListField(child=serializers.JSONField())
    kwargs = serializers.DictField(child=serializers.JSONField())

    class Meta(ScheduleRowSerializer.Meta):
        fields = [*_LISTED, "args", "kwargs"]
        read_only_fields = fields


class CreatedScheduleSerializer(ScheduleSerializer):
    """Recurring schedule that has just been created."""

    notice = serializers.SerializerMethodField(help_text=NOTICE)

    class Meta(ScheduleSerializer.Meta):
        fields = [*ScheduleSerializer.Meta.fields, "notice"]
        read_only_fields = fields

    def get_notice(self, schedule: Schedule) -> str:
        """Return the notice, or an empty text."""
        is_known = schedule.task == registry.SHELL or registry.find(schedule.task) is not None
        return NewTask(schedule.task, unchecked=not is_known).notice


class PreviewRowSerializer(serializers.Serializer[Any]):
    """Due time of a preview, or a day on which a time that the clocks skip has no run."""

    at = serializers.SerializerMethodField(
        help_text="Due time with the offset of the schedule's zone. Null: no run."
    )
    local = serializers.SerializerMethodField(
        help_text="Local time that the schedule names. It does not exist if the clocks skip it."
    )
    mark = serializers.CharField(
        help_text="clocks go forward, clocks go back, or empty on any other day"
    )
    sentence = serializers.CharField(
        help_text="What the change of the clocks does, in the first row that it affects."
    )

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_at(self, row: PreviewRow) -> str | None:
        """Return the due time in the zone of the schedule, or None."""
        return row.at.isoformat() if row.at else None

    def get_local(self, row: PreviewRow) -> str:
        """Return the local time without an offset."""
        return row.local.isoformat()


class PreviewSerializer(serializers.Serializer[Any]):
    """Next due times of a schedule."""

    words = serializers.CharField(help_text="When it is due in plain English.")
    timezone = serializers.CharField()
    rows = PreviewRowSerializer(many=True)
    later_changes = PreviewRowSerializer(
        many=True, help_text="The next days after the rows on which the clocks change its times."
    )
    is_complete = serializers.BooleanField(help_text="Whether no due time follows the rows.")


class ScheduleRunSerializer(IsoTimes, serializers.ModelSerializer[ScheduleRun]):
    """Run of a schedule. It has a task, or the reason why there is none."""

    # As choices they would share names in the schema with those of other objects.
    kind = serializers.CharField(help_text="scheduled, manual or backfill")
    state = serializers.CharField(
        help_text="created (it has a task), queued, withdrawn, paused, overlap, missed, "
        "outside_window, refused or skipped"
    )
    count = serializers.IntegerField(
        help_text="Number of due times from `due_at` to `last_due_at` that the row stands for."
    )
    status = serializers.SerializerMethodField(
        help_text="Status of the task. Null without one, if the task was deleted, and without the "
        "permission to view tasks."
    )

    class Meta:
        model = ScheduleRun
        fields = [
            "id",
            "kind",
            "due_at",
            "last_due_at",
            "count",
            "run_at",
            "state",
            "reason",
            "task_id",
            "status",
            "user",
            "created_at",
        ]
        read_only_fields = fields

    def get_status(self, run: ScheduleRun) -> str | None:
        """Return the status that the view has read, or None."""
        return getattr(run, "status", None)


class BackfillSerializer(serializers.Serializer[Any]):
    """Number of due times of a back-fill, the first and the last."""

    count = serializers.IntegerField()
    first = IsoDateTimeField(allow_null=True)
    last = IsoDateTimeField(allow_null=True)


class AllSchedulesSerializer(IsoTimes, serializers.ModelSerializer[SchedulerState]):
    """State of all schedules: since when, by whom and why they are paused."""

    checked_at = IsoDateTimeField(
        allow_null=True, help_text="When a coordinator last searched for due schedules."
    )

    class Meta:
        model = SchedulerState
        fields = ["paused_at", "paused_by", "pause_reason", "checked_at"]
        read_only_fields = fields
