"""Serve recurring schedules: list, create, show, change, delete and preview."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django_filters import rest_framework as filters
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster.tasks.api import idempotency
from taskmaster.tasks.api.bodies import require_object
from taskmaster.tasks.api.conditional import (
    HEADERS,
    IF_MATCH,
    NOT_MODIFIED,
    conditional,
    parse_if_match,
    versioned,
)
from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.filters import StrictFilterBackend
from taskmaster.tasks.api.pagination import ByName
from taskmaster.tasks.api.parsers import JSONParser
from taskmaster.tasks.api.schedule_requests import NewScheduleSerializer
from taskmaster.tasks.api.schedule_serializers import (
    CreatedScheduleSerializer,
    PreviewSerializer,
    ScheduleRowSerializer,
    ScheduleSerializer,
)
from taskmaster.tasks.api.views import JSON, problems
from taskmaster.tasks.errors import ScheduleNotFound
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import ScheduleSource
from taskmaster.tasks.permissions import CHANGE_SCHEDULE, VIEW_SCHEDULE, require
from taskmaster.tasks.schedules import service

_STATES = ("active", "paused", "ended")


class ScheduleFilter(filters.FilterSet):
    """Select the schedules that meet all given conditions."""

    name = filters.CharFilter(help_text="Name of the schedule.")
    task = filters.CharFilter(help_text="Dotted path of the task, or `shell`.")
    queue = filters.CharFilter(help_text="Queue that the schedule gives to its tasks.")
    source = filters.ChoiceFilter(choices=[(each.value, each.value) for each in ScheduleSource])
    owner = filters.CharFilter(
        method="of_owner", help_text="Name of the user in whose name the runs are submitted."
    )
    state = filters.ChoiceFilter(
        method="in_state", choices=[(each, each) for each in _STATES], help_text=", ".join(_STATES)
    )

    class Meta:
        model = Schedule
        fields: list[str] = []

    def of_owner(self, schedules: QuerySet[Schedule], _: str, name: str) -> QuerySet[Schedule]:
        """Select the schedules of a user."""
        field = get_user_model().USERNAME_FIELD
        return schedules.filter(**{f"owner__{field}": name})

    def in_state(self, schedules: QuerySet[Schedule], _: str, state: str) -> QuerySet[Schedule]:
        """Select the schedules with this state, as the field `state` has it."""
        if state == "ended":
            return schedules.filter(ended_at__isnull=False)
        return schedules.filter(ended_at=None, paused_at__isnull=state == "active")


@conditional
class SchedulesView(ApiConventions, GenericAPIView[Schedule]):
    """List and create schedules."""

    parser_classes = [JSONParser]
    serializer_class = ScheduleRowSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = ScheduleFilter
    pagination_class = ByName
    queryset = Schedule.objects.select_related("owner").defer("args", "kwargs")

    @extend_schema(
        operation_id="list_schedules",
        summary="List schedules by name",
        parameters=HEADERS,
        responses={
            (200, JSON): ScheduleRowSerializer(many=True),
            **NOT_MODIFIED,
            **problems(400),
        },
    )
    def get(self, request: Request) -> Response:
        """Return the schedules without the arguments of their tasks."""
        require(request.user, VIEW_SCHEDULE)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="create_schedule",
        summary="Create a schedule",
        request=NewScheduleSerializer,
        parameters=idempotency.HEADERS,
        responses={201: CreatedScheduleSerializer, **problems(400, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Create a schedule. The user becomes its owner.

        Requires the permissions `taskmaster_tasks.view_schedule` and
        `taskmaster_tasks.change_schedule`. A shell command also requires
        `taskmaster_tasks.submit_shell`. `notice` is not empty if only workers know the task.
        """
        require(request.user, VIEW_SCHEDULE, CHANGE_SCHEDULE)
        return idempotency.submit_once(request, lambda: self._create(request))

    def _create(self, request: Request) -> Response:
        schedule = service.create(require_object(request.data), user=request.user)
        where = reverse("taskmaster:api:schedule", [schedule.pk], request=request)
        data = CreatedScheduleSerializer(schedule).data
        return versioned(data, schedule.version, status=201, headers={"Location": where})


class SchedulePreviewView(ApiConventions, APIView):
    """Preview schedules that are not stored."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="preview_schedule",
        summary="Preview the due times of a schedule that is not stored",
        request=NewScheduleSerializer(partial=True),
        responses={200: PreviewSerializer, **problems(400, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Return the next twenty due times, and what changes of the clocks do to them.

        The fields are those of a new schedule. `name`, `task` and `command` may be missing.
        Requires the permissions to create a schedule.
        """
        require(request.user, VIEW_SCHEDULE, CHANGE_SCHEDULE)
        found = service.preview_new(require_object(request.data), user=request.user)
        return Response(PreviewSerializer(found).data)


@conditional
class ScheduleView(ApiConventions, APIView):
    """Serve, change and delete one schedule."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="get_schedule",
        summary="Get a schedule",
        parameters=HEADERS,
        responses={200: ScheduleSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, schedule_id: str) -> Response:
        """Return the schedule with the arguments of its task."""
        require(request.user, VIEW_SCHEDULE)
        return shown(find_schedule(schedule_id))

    @extend_schema(
        operation_id="change_schedule",
        summary="Change a schedule",
        request=NewScheduleSerializer(partial=True),
        parameters=[IF_MATCH],
        responses={200: ScheduleSerializer, **problems(400, 404, 409, 412, 413, 415)},
    )
    def patch(self, request: Request, schedule_id: str) -> Response:
        """Change the given fields. Null resets a field to its default.

        Another trigger replaces the trigger. The next due time is computed from now. Runs that have
        not started are withdrawn. The user becomes the owner. A schedule that code declares cannot
        be changed. A shell command also requires `taskmaster_tasks.submit_shell`.
        """
        require(request.user, VIEW_SCHEDULE, CHANGE_SCHEDULE)
        changed = service.update(
            find_schedule(schedule_id),
            require_object(request.data),
            user=request.user,
            version=parse_if_match(request),
        )
        return shown(changed)

    @extend_schema(
        operation_id="delete_schedule",
        summary="Delete a schedule and its history",
        parameters=[IF_MATCH],
        responses={204: None, **problems(400, 404, 409, 412)},
    )
    def delete(self, request: Request, schedule_id: str) -> Response:
        """Delete the schedule. Runs that have not started are withdrawn, others are not affected.

        A schedule that code declares cannot be deleted.
        """
        require(request.user, VIEW_SCHEDULE, CHANGE_SCHEDULE)
        service.delete(
            find_schedule(schedule_id), user=request.user, version=parse_if_match(request)
        )
        return Response(status=204)


@conditional
class StoredPreviewView(ApiConventions, APIView):
    """Preview stored schedules."""

    @extend_schema(
        operation_id="preview_stored_schedule",
        summary="Preview the due times of a schedule",
        parameters=HEADERS,
        responses={200: PreviewSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, schedule_id: str) -> Response:
        """Return the next twenty due times after now, also of a paused schedule."""
        require(request.user, VIEW_SCHEDULE)
        found = service.preview_stored(find_schedule(schedule_id))
        return Response(PreviewSerializer(found).data)


def find_schedule(schedule_id: str) -> Schedule:
    """Return the schedule with the id of a URL. Raise ScheduleNotFound."""
    value = parse_id(schedule_id)
    schedule = None
    if value is not None:
        schedule = Schedule.objects.select_related("owner").filter(pk=value).first()
    if schedule is None:
        raise ScheduleNotFound(schedule_id)
    return schedule


def shown(schedule: Schedule) -> Response:
    """Return the response with a schedule and the ETag of its version."""
    data: dict[str, Any] = ScheduleSerializer(schedule).data
    return versioned(data, schedule.version)
