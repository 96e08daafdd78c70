"""What a worker looks like in JSON."""

from __future__ import annotations

from rest_framework import serializers

from workers.models import Worker


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """A worker, as the coordinators last heard of it."""

    status = serializers.SerializerMethodField(help_text="online, draining or offline")

    class Meta:
        model = Worker
        fields = [
            "id",
            "name",
            "host",
            "pid",
            "status",
            "pool",
            "pool_name",
            "queues",
            "slots",
            "busy",
            "drain",
            "command",
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
        """Text in the schema: its values would share a name with those of a task's status."""
        return worker.status
