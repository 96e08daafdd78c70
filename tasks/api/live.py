"""Serve the figures of the dashboard and the history of events."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import (
    ApiConventions,
    IsoDateTimeField,
    IsoTimes,
    extend_schema,
)
from taskmaster.tasks.api.filters import StrictFilterBackend
from taskmaster.tasks.api.pagination import NewestFirst
from taskmaster.tasks.api.views import JSON, problems
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.models import Event
from taskmaster.tasks.permissions import VIEW, require
from taskmaster.tasks.statistics import read
from taskmaster.tasks.statistics.depth import DepthCounter

_depth = DepthCounter()


class OverviewSerializer(serializers.Serializer[Any]):
    """Number of tasks by status."""

    total = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="Parked: no connected worker can run them.")
    pending = serializers.IntegerField(help_text="Includes tasks that are not due yet.")
    due = serializers.IntegerField()
    oldest_due = IsoDateTimeField(allow_null=True)
    held = serializers.IntegerField(
        help_text="Picked tasks: held until due, or offered to a worker."
    )
    running = serializers.IntegerField()
    complete = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    complete_per_s = serializers.FloatField(help_text="Rate over the last 10 to 20 seconds.")
    failed_per_s = serializers.FloatField()
    counted_at = IsoDateTimeField(
        allow_null=True,
        help_text="When the tasks were counted. Null: for this response.",
    )
    at_least = serializers.BooleanField(
        help_text="Whether the counts of pending and due stopped at a limit."
    )


class SeriesSerializer(serializers.Serializer[Any]):
    """Charts of the last hour. Each list has one entry for ten seconds, oldest first."""

    at = serializers.ListField(
        child=serializers.IntegerField(), help_text="Start of each interval as a Unix timestamp."
    )
    complete = serializers.ListField(child=serializers.FloatField(), help_text="Tasks per second.")
    failed = serializers.ListField(child=serializers.FloatField(), help_text="Tasks per second.")
    wait_p50_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))
    wait_p95_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))
    run_p50_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))
    run_p95_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))


class QueueSerializer(serializers.Serializer[Any]):
    """Number of pending, held, running and waiting tasks of one queue."""

    queue = serializers.CharField()
    pending = serializers.IntegerField()
    due = serializers.IntegerField()
    oldest_due = IsoDateTimeField(allow_null=True)
    held = serializers.IntegerField()
    running = serializers.IntegerField()
    waiting = serializers.IntegerField()


class StatsSerializer(serializers.Serializer[Any]):
    """Dashboard statistics."""

    overview = OverviewSerializer()
    series = SeriesSerializer()
    queues = QueueSerializer(many=True)


@conditional
class StatsView(ApiConventions, APIView):
    """Serve the dashboard statistics."""

    @extend_schema(
        operation_id="get_stats",
        summary="Get the dashboard statistics",
        parameters=HEADERS,
        responses={200: StatsSerializer, **NOT_MODIFIED, **problems()},
    )
    def get(self, request: Request) -> Response:
        """Return the counters, the charts of the last hour and the depth of each queue."""
        require(request.user, VIEW)
        _depth.count_for_web()
        stats = {"overview": read.overview(), "series": read.series(), "queues": read.queues()}
        return Response(StatsSerializer(stats).data)


class EventSerializer(IsoTimes, serializers.ModelSerializer[Event]):
    """Event of the activity log. A `count` above 1 marks an aggregate of several events."""

    kind = serializers.ChoiceField([kind.value for kind in EventKind])

    class Meta:
        model = Event
        fields = [
            "id", "at", "kind", "text", "task_id", "task", "queue", "worker", "worker_id", "user",
            "count",
        ]  # fmt: skip
        read_only_fields = fields


class EventFilter(filters.FilterSet):
    """Select the events that meet all given conditions."""

    kind = filters.ChoiceFilter(choices=[(kind.value, kind.value) for kind in EventKind])
    task_id = filters.NumberFilter(min_value=1, max_value=MAX_ID, decimal_places=0)
    queue = filters.CharFilter()
    worker_id = filters.UUIDFilter()
    user = filters.CharFilter(help_text="Name of the user who caused the event.")

    class Meta:
        model = Event
        fields: list[str] = []


@conditional
class EventsView(ApiConventions, GenericAPIView[Event]):
    """Serve the event history."""

    serializer_class = EventSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = EventFilter
    pagination_class = NewestFirst
    queryset = Event.objects.all()

    @extend_schema(
        operation_id="list_events",
        summary="List events, newest first",
        parameters=HEADERS,
        responses={(200, JSON): EventSerializer(many=True), **NOT_MODIFIED, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Return the stored events. The setting `events_kept` limits their number (default: 5,000).

        /api/logs/stream streams new events.
        """
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
