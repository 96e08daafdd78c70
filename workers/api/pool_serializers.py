"""What pools look like in JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from workers.models import WorkerPool
from workers.pools import rules
from workers.pools.operations import DEFAULT


class PoolSerializer(serializers.ModelSerializer[WorkerPool]):
    """A pool: what is desired, and what the reconciler found last."""

    environment = serializers.SerializerMethodField(
        help_text=f"Values of variables whose names tell of secrets are shown as {rules.HIDDEN}."
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
            "kind",
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
        """Without secrets."""
        return rules.shown(pool.environment)

    def get_state(self, pool: WorkerPool) -> str:
        """Text in the schema: its values would share a name with those of an operation's state."""
        return pool.state


class PoolsSerializer(serializers.Serializer[Any]):
    """All pools, by name: they are few."""

    results = PoolSerializer(many=True)


class ScaleSerializer(serializers.Serializer[Any]):
    """How many workers there shall be."""

    count = serializers.IntegerField(min_value=0, help_text="Within the bounds of the pool.")
    pool = serializers.CharField(default=DEFAULT, help_text="The pool's name.")


class NewPoolSerializer(serializers.Serializer[Any]):
    """The fields of a pool; all but the name may be left out."""

    name = serializers.CharField(max_length=63, help_text="a-z, 0-9 and -, the - only within.")
    provider = serializers.CharField(default="local", help_text="local, compose or kubernetes")
    desired = serializers.IntegerField(min_value=0, required=False)
    minimum = serializers.IntegerField(min_value=0, default=0)
    maximum = serializers.IntegerField(min_value=0, default=50)
    concurrency = serializers.IntegerField(min_value=1, default=4, help_text="Slots of a worker.")
    kind = serializers.CharField(default="process", help_text="process, threads or async")
    queues = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="Empty: every queue."
    )
    environment = serializers.DictField(child=serializers.CharField(), required=False)
    stop_limit_s = serializers.FloatField(default=3_600)
    autoscale = serializers.BooleanField(default=False)
    target_wait_s = serializers.FloatField(default=10)
    cool_down_s = serializers.FloatField(default=60)
