"""The figures of the dashboard, and the history of events."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from tasks.api.filters import StrictFilterBackend
from tasks.api.pagination import NewestFirst
from tasks.api.views import JSON, problems
from tasks.events.event import Kind
from tasks.ids import MAX_ID
from tasks.models import Event
from tasks.permissions import VIEW, require
from tasks.statistics import read


class OverviewSerializer(serializers.Serializer[Any]):
    """How many tasks are where."""

    total = serializers.IntegerField()
    waiting = serializers.IntegerField()
    pending = serializers.IntegerField(help_text="What is not due yet among them.")
    due = serializers.IntegerField()
    oldest_due = serializers.DateTimeField(allow_null=True)
    held = serializers.IntegerField(help_text="Picked early, or offered to a worker.")
    running = serializers.IntegerField()
    complete = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    complete_per_s = serializers.FloatField(help_text="Over the last ten to twenty seconds.")
    failed_per_s = serializers.FloatField()
    counted_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When pending and running were counted; null: now, since no coordinator did.",
    )
    at_least = serializers.BooleanField(help_text="pending and due were counted to a limit only.")


class SeriesSerializer(serializers.Serializer[Any]):
    """The last hour in bars of ten seconds, oldest first."""

    at = serializers.ListField(child=serializers.IntegerField(), help_text="Unix seconds.")
    complete = serializers.ListField(child=serializers.FloatField(), help_text="Per second.")
    failed = serializers.ListField(child=serializers.FloatField(), help_text="Per second.")
    wait_p50_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))
    wait_p95_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))
    run_p50_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))
    run_p95_ms = serializers.ListField(child=serializers.FloatField(allow_null=True))


class QueueSerializer(serializers.Serializer[Any]):
    """What waits and runs in one queue."""

    queue = serializers.CharField()
    pending = serializers.IntegerField()
    due = serializers.IntegerField()
    oldest_due = serializers.DateTimeField(allow_null=True)
    held = serializers.IntegerField()
    running = serializers.IntegerField()


class StatsSerializer(serializers.Serializer[Any]):
    """The figures of the dashboard."""

    overview = OverviewSerializer()
    series = SeriesSerializer()
    queues = QueueSerializer(many=True)


@conditional
class StatsView(APIView):
    """The figures of the dashboard."""

    @extend_schema(
        operation_id="get_stats",
        summary="Show the figures of the dashboard",
        parameters=HEADERS,
        responses={200: StatsSerializer, **NOT_MODIFIED, **problems()},
    )
    def get(self, request: Request) -> Response:
        """Counters, the charts of the last hour, and the depth of each queue."""
        require(request.user, VIEW)
        stats = {"overview": read.overview(), "series": read.series(), "queues": read.queues()}
        return Response(StatsSerializer(stats).data)


class EventSerializer(serializers.ModelSerializer[Event]):
    """One line of the activity log; `count` above 1 where many were folded into it."""

    kind = serializers.ChoiceField([kind.value for kind in Kind])

    class Meta:
        model = Event
        fields = [
            "id", "at", "kind", "text", "task_id", "task", "queue", "worker", "worker_id", "user",
            "count",
        ]  # fmt: skip
        read_only_fields = fields


class EventFilter(filters.FilterSet):
    """The events that meet every condition given."""

    kind = filters.ChoiceFilter(choices=[(kind.value, kind.value) for kind in Kind])
    task_id = filters.NumberFilter(min_value=1, max_value=MAX_ID, decimal_places=0)
    queue = filters.CharFilter()
    worker_id = filters.UUIDFilter()
    user = filters.CharFilter(help_text="Who asked for it.")

    class Meta:
        model = Event
        fields: list[str] = []


@conditional
class EventsView(GenericAPIView[Event]):
    """What happened."""

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
        """The newest 5,000 are kept, unless set otherwise; /api/logs/stream has them live."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
