"""Serialize workers to JSON."""

from __future__ import annotations

from rest_framework import serializers

from taskmaster.tasks.api.conventions import IsoTimes
from taskmaster.workers.models import Worker


class WorkerSerializer(IsoTimes, serializers.ModelSerializer[Worker]):
    """Serialize a worker, as last reported to a coordinator."""

    status = serializers.SerializerMethodField(help_text="online, draining or offline")

    class Meta:
        model = Worker
        fields = [
            "id",
            "name",
            "host",
            "pid",
            "status",
            "executor",
            "pool",
            "queues",
            "slots",
            "busy",
            "drain",
            "command",
            "ended",
            "rss_bytes",
            "cpu",
            "tasks_done",
            "tasks_failed",
            "loop_lag_ms",
            "heartbeat_misses",
            "registered_at",
            "last_seen_at",
        ]
        read_only_fields = fields

    def get_status(self, worker: Worker) -> str:
        """Return the status as text.

        As a choice it would share a name in the schema with the status of a task.
        """
        return worker.status


class WorkerDetailSerializer(WorkerSerializer):
    """Serialize a worker with the task names that it knows."""

    class Meta(WorkerSerializer.Meta):
        fields = [*WorkerSerializer.Meta.fields, "tasks"]
        read_only_fields = fields
