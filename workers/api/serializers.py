"""What a worker looks like in JSON."""

from __future__ import annotations

from rest_framework import serializers

from workers.models import Worker
from workers.models.worker import WorkerStatus


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """A worker, as the coordinators last heard of it."""

    status = serializers.ChoiceField(WorkerStatus.values)

    class Meta:
        model = Worker
        fields = [
            "id",
            "name",
            "host",
            "pid",
            "status",
            "pool",
            "queues",
            "slots",
            "busy",
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
