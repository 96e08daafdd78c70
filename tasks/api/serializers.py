"""Serialize tasks to JSON. `taskmaster.tasks.submission` validates submissions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from taskmaster.tasks.api.conventions import IsoDateTimeField, IsoTimes
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.options import (
    MAX_ATTEMPTS,
    MAX_PAUSE_S,
    MAX_PRIORITY,
    MAX_QUEUE,
    MAX_TAG,
    MAX_TAGS,
    MAX_TIMEOUT_S,
    MIN_PRIORITY,
    ON_LOST_CONTACT,
)
from taskmaster.tasks.presentation import error_line
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.registry import MAX_NAME

_LISTED = [
    "id",
    "name",
    "status",
    "queue",
    "priority",
    "tags",
    "attempt",
    "max_attempts",
    "worker",
    "error",
    "created_at",
    "scheduled_at",
    "picked_at",
    "started_at",
    "completed_at",
    "failed_at",
    "cancelled_at",
]
NOTICE = (
    "Present if only workers know the name: the arguments were not checked, and the options that "
    "the task declares do not apply."
)


class ErrorSerializer(serializers.Serializer[Any]):
    """Error of one failed attempt."""

    attempt = serializers.IntegerField()
    worker = serializers.CharField()
    at = IsoDateTimeField()
    exception = serializers.CharField(required=False)
    code = serializers.IntegerField(required=False, help_text="Exit code or signal number.")
    message = serializers.CharField()
    traceback = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields with `class`, which is a reserved word in Python."""
        kind = serializers.CharField(help_text="raised, exit_code, timeout, signal, lost, …")
        return {**super().get_fields(), "class": kind}


class TaskRowSerializer(IsoTimes, serializers.ModelSerializer[Task]):
    """Task in a list, without arguments, result and the details of its errors."""

    status = serializers.ChoiceField([status.value for status in Status])
    error = serializers.SerializerMethodField(
        help_text="Class and first line of the message of the newest failed attempt. Null if the "
        "task has none, is running or is complete."
    )

    class Meta:
        model = Task
        fields = _LISTED
        read_only_fields = _LISTED

    def get_error(self, task: Task) -> str | None:
        """Return the error in one line, or None."""
        return error_line.of(task) or None


class TaskSerializer(TaskRowSerializer):
    """Task with all fields."""

    args = serializers.ListField(child=serializers.JSONField())
    kwargs = serializers.DictField(child=serializers.JSONField())
    # Replaces the property `errors` of the base class. This serializer validates nothing.
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]
    result = serializers.JSONField(help_text="Return value.")
    reason = serializers.SerializerMethodField(
        help_text="Why the task is not running. Null if it is running or has ended."
    )
    created_by = serializers.SerializerMethodField(
        help_text="Name of the user who submitted the task. Null if there is none."
    )

    class Meta(TaskRowSerializer.Meta):
        fields = [
            *_LISTED,
            "reason",
            "waiting_reason",
            "waiting_for",
            "timeout_s",
            "retry_base_s",
            "retry_cap_s",
            "on_lost_contact",
            "args",
            "kwargs",
            "result",
            "errors",
            "created_by",
        ]
        read_only_fields = fields

    @extend_schema_field(ErrorSerializer(many=True))
    def get_errors(self, task: Task) -> Any:
        """Return one entry for each failed attempt, as the worker reported it."""
        return task.errors

    def get_reason(self, task: Task) -> str | None:
        """Return why the task is not running, or None."""
        return explain_pending(task)

    def get_created_by(self, task: Task) -> str | None:
        """Return the user name. None for tasks of programs and of deleted users."""
        return task.created_by.get_username() if task.created_by else None


class SubmittedSerializer(TaskSerializer):
    """Task that has just been submitted."""

    notice = serializers.CharField(required=False, help_text=NOTICE)

    class Meta(TaskSerializer.Meta):
        fields = [*TaskSerializer.Meta.fields, "notice"]
        read_only_fields = fields


class OutputSerializer(IsoTimes, serializers.ModelSerializer[TaskOutput]):
    """Chunk of an attempt's output."""

    class Meta:
        model = TaskOutput
        fields = ["attempt", "seq", "stream", "text", "created_at"]


class NewTaskSerializer(serializers.Serializer[Any]):
    """Submission of a task. An omitted option takes the value that the task declares.

    `taskmaster.tasks.submission.parse` validates it.
    """

    name = serializers.CharField(
        max_length=MAX_NAME,
        required=False,
        help_text="Dotted path of a registered task, or `shell`. Omit it if `command` is given.",
    )
    command = serializers.JSONField(
        required=False,
        help_text="Short form of a shell task: a script, or a list of arguments.",
    )
    args = serializers.ListField(child=serializers.JSONField(), required=False)
    kwargs = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text="For a shell task: `command`, and optionally `cwd` and `env`.",
    )
    queue = serializers.CharField(max_length=MAX_QUEUE, required=False)
    priority = serializers.IntegerField(
        min_value=MIN_PRIORITY, max_value=MAX_PRIORITY, required=False
    )
    scheduled_at = IsoDateTimeField(
        required=False,
        allow_null=True,
        help_text="Time with a time zone. A time in the past, or none, is now.",
    )
    max_attempts = serializers.IntegerField(min_value=1, max_value=MAX_ATTEMPTS, required=False)
    timeout_s = serializers.FloatField(
        min_value=0, max_value=MAX_TIMEOUT_S, required=False, help_text="0 disables the time-out."
    )
    retry_base_s = serializers.FloatField(
        min_value=0,
        max_value=MAX_PAUSE_S,
        required=False,
        help_text="Pause before the first retry. It doubles up to `retry_cap_s`.",
    )
    retry_cap_s = serializers.FloatField(min_value=0, max_value=MAX_PAUSE_S, required=False)
    on_lost_contact = serializers.ChoiceField(
        ON_LOST_CONTACT,
        required=False,
        help_text="Whether the worker continues or stops the task when it loses contact.",
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=MAX_TAG), max_length=MAX_TAGS, required=False
    )


class BulkSerializer(serializers.Serializer[Any]):
    """Bulk submission."""

    tasks = NewTaskSerializer(many=True)


class IdsSerializer(serializers.Serializer[Any]):
    """Task ids. Those of a bulk submission are in the order of the submitted tasks."""

    ids = serializers.ListField(child=serializers.IntegerField())


class SubmittedIdsSerializer(IdsSerializer):
    """Ids of submitted tasks, in the order of the submission."""

    notices = serializers.ListField(child=serializers.CharField(), required=False, help_text=NOTICE)


class RefusedSerializer(serializers.Serializer[Any]):
    """Task that was not retried, and the reason."""

    id = serializers.IntegerField()
    detail = serializers.CharField()


class RetriedSerializer(serializers.Serializer[Any]):
    """Result of a retry of several tasks."""

    retried = serializers.ListField(child=serializers.IntegerField())
    refused = RefusedSerializer(many=True)


class RescheduleSerializer(serializers.Serializer[Any]):
    """New time of a task."""

    scheduled_at = IsoDateTimeField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Error as problem details (RFC 9457)."""

    type = serializers.CharField()
    status = serializers.IntegerField()
    title = serializers.CharField()
    detail = serializers.CharField()
    field = serializers.CharField(required=False)
