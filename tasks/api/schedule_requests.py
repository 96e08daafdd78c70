"""Describe requests on schedules for the schema. `taskmaster.tasks.schedules` validates them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from taskmaster.tasks import registry
from taskmaster.tasks.api.conventions import IsoDateTimeField
from taskmaster.tasks.api.serializers import NewTaskSerializer
from taskmaster.tasks.schedules.manual_runs import BACKFILL_MAX
from taskmaster.tasks.schedules.users import REASON_MAX
from taskmaster.tasks.timing.rules import (
    MAX_CRON,
    MAX_SCHEDULE_NAME,
    MAX_ZONE,
    MissedPolicy,
    OverlapPolicy,
    RepeatedTime,
    SkippedTime,
)


class TimingSerializer(serializers.Serializer[Any]):
    """Timing of a schedule, and its rules for clock changes, missed runs and overlaps."""

    cron = serializers.CharField(
        max_length=MAX_CRON,
        required=False,
        help_text="Five fields, or @hourly to @yearly. Give one of cron, interval_s and dates.",
    )
    interval_s = serializers.FloatField(
        min_value=1, required=False, help_text="Elapsed time between two due times."
    )
    anchor = IsoDateTimeField(required=False, help_text="A time at which the interval is due.")
    dates = serializers.ListField(child=IsoDateTimeField(), required=False)
    timezone = serializers.CharField(
        max_length=MAX_ZONE,
        required=False,
        help_text="Name in the IANA database. Times without an offset are local times of it.",
    )
    skipped_time = serializers.ChoiceField(
        [each.value for each in SkippedTime],
        required=False,
        help_text="Rule for a local time that the clocks skip.",
    )
    repeated_time = serializers.ChoiceField(
        [each.value for each in RepeatedTime],
        required=False,
        help_text="Rule for a local time that occurs twice.",
    )
    starts_at = IsoDateTimeField(required=False, allow_null=True)
    ends_at = IsoDateTimeField(required=False, allow_null=True)
    max_runs = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    jitter_s = serializers.FloatField(
        min_value=0, required=False, help_text="Spread the starts over this time."
    )
    missed = serializers.ChoiceField(
        [each.value for each in MissedPolicy],
        required=False,
        help_text="Which missed runs are made up.",
    )
    missed_max = serializers.IntegerField(
        min_value=1, required=False, help_text="Number of runs that `all` makes up."
    )
    catch_up_s = serializers.FloatField(
        min_value=0, required=False, help_text="Missed runs are made up for this time."
    )
    overlap = serializers.ChoiceField(
        [each.value for each in OverlapPolicy],
        required=False,
        help_text="Rule for a due time at which an earlier run has not ended.",
    )


class NewScheduleSerializer(TimingSerializer, NewTaskSerializer):
    """New schedule. A null or omitted option is the one that the task declares.

    `taskmaster.tasks.schedules.fields` validates it.
    """

    name = serializers.CharField(max_length=MAX_SCHEDULE_NAME, help_text="It is unique.")
    task = serializers.CharField(
        max_length=registry.MAX_NAME,
        required=False,
        help_text="Dotted path of a registered task, or `shell`. Omit it if `command` is given.",
    )
    cwd = serializers.CharField(required=False, help_text="Working directory of `command`.")
    env = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="Environment variables of `command`.",
    )
    # A schedule has a time of its own. DRF leaves out a field that is None.
    scheduled_at = None  # type: ignore[assignment]


class ReasonSerializer(serializers.Serializer[Any]):
    """Reason of a pause or a skipped run, for the history."""

    reason = serializers.CharField(max_length=REASON_MAX, required=False, default="")


class RunScheduleSerializer(serializers.Serializer[Any]):
    """Request to run a schedule now."""

    due_at = IsoDateTimeField(
        required=False,
        help_text="A past due time of the schedule, such as a missed one. Default: now.",
    )


class NewBackfillSerializer(serializers.Serializer[Any]):
    """Request to run a schedule once for each due time of a range in the past."""

    start = IsoDateTimeField(help_text="Included.")
    end = IsoDateTimeField(help_text=f"Included. The range has at most {BACKFILL_MAX:,} due times.")
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only count the runs to create."
    )
