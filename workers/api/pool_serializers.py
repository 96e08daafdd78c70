"""Serialize pools to JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from taskmaster.tasks.api.conventions import IsoTimes
from taskmaster.workers.models import WorkerPool
from taskmaster.workers.pools import validation
from taskmaster.workers.pools.operations import DEFAULT


class PoolSerializer(IsoTimes, serializers.ModelSerializer[WorkerPool]):
    """Serialize a pool: its desired state and the last findings of the reconciler."""

    environment = serializers.SerializerMethodField(
        help_text=f"Values of variables with names of secrets are shown as {validation.HIDDEN}."
    )
    state = serializers.SerializerMethodField(
        help_text="steady, scaling, backing_off or provider_failed"
    )

    class Meta:
        model = WorkerPool
        fields = [
            "name",
            "provider",
            "desired",
            "actual",
            "registered",
            "draining",
            "state",
            "error",
            "last_log",
            "failures",
            "retry_at",
            "reconciled_at",
            "minimum",
            "maximum",
            "concurrency",
            "executor",
            "queues",
            "environment",
            "stop_limit_s",
            "autoscale",
            "target_wait_s",
            "cool_down_s",
            "scaled_at",
        ]
        read_only_fields = fields

    def get_environment(self, pool: WorkerPool) -> dict[str, str]:
        """Return the environment with the values of secrets hidden."""
        return validation.shown(pool.environment)

    def get_state(self, pool: WorkerPool) -> str:
        """Return the state as text.

        As a choice it would share a name in the schema with the state of a bulk operation.
        """
        return pool.state


class PoolsSerializer(serializers.Serializer[Any]):
    """Serialize all pools, ordered by name. There are few, so they are not paginated."""

    results = PoolSerializer(many=True)


class ScaleSerializer(serializers.Serializer[Any]):
    """Describe a request to set the desired number of workers."""

    count = serializers.IntegerField(min_value=0, help_text="Within the bounds of the pool.")
    pool = serializers.CharField(default=DEFAULT, help_text="The pool's name.")


class NewPoolSerializer(serializers.Serializer[Any]):
    """Describe the fields of a new pool. All fields but the name are optional."""

    name = serializers.CharField(
        max_length=63, help_text="1 to 63 of a-z, 0-9 and -, not starting or ending with -."
    )
    provider = serializers.CharField(default="local", help_text="local, compose or kubernetes")
    desired = serializers.IntegerField(min_value=0, required=False)
    minimum = serializers.IntegerField(min_value=0, default=0)
    maximum = serializers.IntegerField(min_value=0, default=50)
    concurrency = serializers.IntegerField(min_value=1, default=4, help_text="Slots per worker.")
    executor = serializers.CharField(default="process", help_text="`process`, `thread` or `async`")
    queues = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="Empty: every queue."
    )
    environment = serializers.DictField(child=serializers.CharField(), required=False)
    stop_limit_s = serializers.FloatField(default=3_600)
    autoscale = serializers.BooleanField(default=False)
    target_wait_s = serializers.FloatField(default=10)
    cool_down_s = serializers.FloatField(default=60)
