"""What a task looks like in JSON. The rules for what may be submitted are in `tasks.submission`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tasks.lifecycle import Status
from tasks.models import Task, TaskOutput
from tasks.reasons import why
from tasks.submission import (
    CONTINUE,
    MAX_ATTEMPTS,
    MAX_NAME,
    MAX_PAUSE_S,
    MAX_PRIORITY,
    MAX_QUEUE,
    MAX_TAG,
    MAX_TAGS,
    MAX_TIMEOUT_S,
    MIN_PRIORITY,
)

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
    "created_at",
    "scheduled_at",
    "picked_at",
    "started_at",
    "completed_at",
    "failed_at",
    "cancelled_at",
]


class ErrorSerializer(serializers.Serializer[Any]):
    """How one attempt failed."""

    attempt = serializers.IntegerField()
    worker = serializers.CharField()
    at = serializers.DateTimeField()
    exception = serializers.CharField(required=False)
    code = serializers.IntegerField(required=False, help_text="Exit code or signal.")
    message = serializers.CharField()
    traceback = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """`class` is a word of Python's."""
        kind = serializers.CharField(help_text="raised, exit_code, timeout, signal, lost, …")
        return {**super().get_fields(), "class": kind}


class TaskRowSerializer(serializers.ModelSerializer[Task]):
    """A task in a list: without its arguments, result and errors."""

    status = serializers.ChoiceField([status.value for status in Status])

    class Meta:
        model = Task
        fields = _LISTED
        read_only_fields = _LISTED


class TaskSerializer(TaskRowSerializer):
    """A whole task."""

    args = serializers.ListField(child=serializers.JSONField())
    kwargs = serializers.DictField(child=serializers.JSONField())
    # What a serializer itself calls `errors` is gone: nothing is validated by this one.
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]
    result = serializers.JSONField(help_text="What it returned.")
    reason = serializers.SerializerMethodField(
        help_text="Why it is not running yet, in a sentence; null once it runs or has ended."
    )
    created_by = serializers.SerializerMethodField(
        help_text="Name of the user, if one submitted it."
    )

    class Meta(TaskRowSerializer.Meta):
        fields = [
            *_LISTED,
            "reason",
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
        """One entry for each attempt that failed, as the worker reported it."""
        return task.errors

    def get_reason(self, task: Task) -> str | None:
        """As its coordinators know it."""
        return why(task)

    def get_created_by(self, task: Task) -> str | None:
        """None for tasks of programs, and of users who are no more."""
        return task.created_by.get_username() if task.created_by else None


class OutputSerializer(serializers.ModelSerializer[TaskOutput]):
    """A piece of what an attempt printed."""

    class Meta:
        model = TaskOutput
        fields = ["attempt", "seq", "stream", "text", "created_at"]


class NewTaskSerializer(serializers.Serializer[Any]):
    """A submission, for the schema: `tasks.submission.parse` reads and checks it."""

    name = serializers.CharField(
        max_length=MAX_NAME,
        required=False,
        help_text="Dotted path of a registered task, or `shell`. Left out with `command`.",
    )
    command = serializers.JSONField(
        required=False,
        help_text="Short form of a shell task: a script, or a list of arguments.",
    )
    args = serializers.ListField(child=serializers.JSONField(), required=False)
    kwargs = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text="Of a shell task: `command`, and if need be `cwd` and `env`.",
    )
    queue = serializers.CharField(max_length=MAX_QUEUE, required=False, default="default")
    priority = serializers.IntegerField(
        min_value=MIN_PRIORITY, max_value=MAX_PRIORITY, required=False, default=0
    )
    scheduled_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="With its zone; now when left out."
    )
    max_attempts = serializers.IntegerField(min_value=1, max_value=MAX_ATTEMPTS, required=False)
    timeout_s = serializers.FloatField(
        min_value=0, max_value=MAX_TIMEOUT_S, required=False, help_text="0: none."
    )
    retry_base_s = serializers.FloatField(
        min_value=0,
        max_value=MAX_PAUSE_S,
        required=False,
        help_text="First pause before a retry; it doubles up to `retry_cap_s`.",
    )
    retry_cap_s = serializers.FloatField(min_value=0, max_value=MAX_PAUSE_S, required=False)
    on_lost_contact = serializers.CharField(
        required=False,
        default=CONTINUE,
        help_text="`continue`, or `stop`: its worker stops it when it cannot reach a coordinator.",
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=MAX_TAG), max_length=MAX_TAGS, required=False
    )


class BulkSerializer(serializers.Serializer[Any]):
    """Many submissions, for the schema."""

    tasks = NewTaskSerializer(many=True)


class IdsSerializer(serializers.Serializer[Any]):
    """Ids of stored tasks, in the order of their submission where they were just submitted."""

    ids = serializers.ListField(child=serializers.IntegerField())


class RefusedSerializer(serializers.Serializer[Any]):
    """A task that was not retried."""

    id = serializers.IntegerField()
    detail = serializers.CharField()


class RetriedSerializer(serializers.Serializer[Any]):
    """What became of each id."""

    retried = serializers.ListField(child=serializers.IntegerField())
    refused = RefusedSerializer(many=True)


class MoveSerializer(serializers.Serializer[Any]):
    """What of a stored task may be changed, for the schema."""

    scheduled_at = serializers.DateTimeField()


class ProblemSerializer(serializers.Serializer[Any]):
    """What went wrong (RFC 9457)."""

    type = serializers.CharField()
    status = serializers.IntegerField()
    title = serializers.CharField()
    detail = serializers.CharField()
    field = serializers.CharField(required=False)
