"""Serve the actions on schedules: run, pause, resume, skip, back-fill; and list their runs."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import OuterRef, QuerySet, Subquery
from django.http.response import HttpResponseBase
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiResponse
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster.tasks.api import idempotency
from taskmaster.tasks.api.bodies import require_fields, take_flag
from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.filters import StrictFilterBackend
from taskmaster.tasks.api.operations import OperationSerializer
from taskmaster.tasks.api.pagination import LatestDue
from taskmaster.tasks.api.parsers import JSONParser
from taskmaster.tasks.api.schedule_requests import (
    NewBackfillSerializer,
    ReasonSerializer,
    RunScheduleSerializer,
)
from taskmaster.tasks.api.schedule_serializers import (
    AllSchedulesSerializer,
    BackfillSerializer,
    ScheduleRunSerializer,
    ScheduleSerializer,
)
from taskmaster.tasks.api.schedules import find_schedule, shown
from taskmaster.tasks.api.views import JSON, problems
from taskmaster.tasks.bulk import backfill
from taskmaster.tasks.models import ScheduleRun, Task
from taskmaster.tasks.models.schedule import RunKind, RunState
from taskmaster.tasks.permissions import RUN_SCHEDULE, VIEW, VIEW_SCHEDULE, require
from taskmaster.tasks.schedules import service


class RunScheduleView(ApiConventions, APIView):
    """Run schedules now."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="run_schedule",
        summary="Run a schedule now",
        request=RunScheduleSerializer,
        parameters=idempotency.HEADERS,
        responses={201: ScheduleRunSerializer, **problems(400, 404, 409, 415, 422)},
    )
    def post(self, request: Request, schedule_id: str) -> HttpResponseBase:
        """Create a run with its task, also if the schedule is paused or has ended.

        The overlap rule does not apply. A shell command also requires the permission
        `taskmaster_tasks.submit_shell`.
        """
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)

        def run() -> Response:
            fields = require_fields(request.data, "due_at")
            made = service.run_now(
                find_schedule(schedule_id), user=request.user, due_at=fields.get("due_at")
            )
            return Response(_run(request, made), status=201)

        return idempotency.submit_once(request, run)


class PauseScheduleView(ApiConventions, APIView):
    """Pause schedules."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="pause_schedule",
        summary="Pause a schedule",
        request=ReasonSerializer,
        responses={200: ScheduleSerializer, **problems(400, 404, 415)},
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        """Pause the schedule. Runs that have not started are withdrawn.

        Due times during the pause are recorded and not made up. A schedule that is paused already
        keeps its pause, with the first reason.
        """
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)
        reason = require_fields(request.data, "reason").get("reason", "")
        return shown(service.pause(find_schedule(schedule_id), reason, user=request.user))


class ResumeScheduleView(ApiConventions, APIView):
    """Resume schedules."""

    @extend_schema(
        operation_id="resume_schedule",
        summary="Resume a paused schedule",
        request=None,
        responses={200: ScheduleSerializer, **problems(404)},
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        """End the pause. The next due time is after now. A schedule without a pause stays as it is.

        If the owner is not active any more, the user becomes the owner, which requires
        `taskmaster_tasks.change_schedule`. A shell command also requires
        `taskmaster_tasks.submit_shell`.
        """
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)
        return shown(service.resume(find_schedule(schedule_id), user=request.user))


class SkipRunView(ApiConventions, APIView):
    """Skip single runs."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="skip_next_run",
        summary="Skip the next run of a schedule",
        request=ReasonSerializer,
        responses={200: ScheduleRunSerializer, **problems(400, 404, 409, 415)},
    )
    def post(self, request: Request, schedule_id: str) -> Response:
        """Skip the next due time that has not started, and return the run that records it."""
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)
        reason = require_fields(request.data, "reason").get("reason", "")
        skipped = service.skip_next(find_schedule(schedule_id), reason, user=request.user)
        return Response(_run(request, skipped))


class BackfillView(ApiConventions, APIView):
    """Run schedules for past due times."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="backfill_schedule",
        summary="Run a schedule for each due time of a range",
        request=NewBackfillSerializer,
        parameters=idempotency.HEADERS,
        responses={
            200: OpenApiResponse(BackfillSerializer, description="Result of a dry run."),
            202: OperationSerializer,
            **problems(400, 404, 409, 415, 422),
        },
    )
    def post(self, request: Request, schedule_id: str) -> HttpResponseBase:
        """Start a bulk operation that creates a run, due now, for each due time of the range.

        `Location` is its address, which shows the progress. Its `cancel/` ends it. Due times that
        have run already run again, and the overlap rule does not apply. Send an
        `Idempotency-Key`, so that a repeated request creates nothing more. A shell command also
        requires the permission `taskmaster_tasks.submit_shell`.
        """
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)
        fields = require_fields(request.data, "start", "end", "dry_run")
        start, end = fields.get("start"), fields.get("end")
        schedule = find_schedule(schedule_id)
        if take_flag(fields, "dry_run", default=False):
            preview = service.preview_backfill(schedule, start, end)
            return Response(BackfillSerializer(preview).data)

        def create() -> Response:
            operation = backfill.start(schedule, start, end, user=request.user)
            where = reverse("taskmaster:api:operation", [operation.pk], request=request)
            return Response(
                OperationSerializer(operation).data, status=202, headers={"Location": where}
            )

        return idempotency.submit_once(request, create, status=202)


class ScheduleRunFilter(filters.FilterSet):
    """Select the runs that meet all given conditions."""

    kind = filters.ChoiceFilter(choices=[(each.value, each.value) for each in RunKind])
    state = filters.ChoiceFilter(choices=[(each.value, each.value) for each in RunState])

    class Meta:
        model = ScheduleRun
        fields: list[str] = []


@conditional
class ScheduleRunsView(ApiConventions, GenericAPIView[ScheduleRun]):
    """List the runs of a schedule."""

    serializer_class = ScheduleRunSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = ScheduleRunFilter
    pagination_class = LatestDue
    queryset = ScheduleRun.objects.all()

    @extend_schema(
        operation_id="list_schedule_runs",
        summary="List the runs of a schedule, the latest due time first",
        parameters=HEADERS,
        responses={
            (200, JSON): ScheduleRunSerializer(many=True),
            **NOT_MODIFIED,
            **problems(400, 404),
        },
    )
    def get(self, request: Request, schedule_id: str) -> Response:
        """Return each run with its task, or with the reason why there is none."""
        require(request.user, VIEW_SCHEDULE)
        runs = self.get_queryset().filter(schedule=find_schedule(schedule_id))
        page = self.paginate_queryset(_with_status(request, self.filter_queryset(runs)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


@conditional
class PauseAllView(ApiConventions, APIView):
    """Show and set the pause of all schedules."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="get_pause_of_all_schedules",
        summary="Get the pause of all schedules",
        parameters=HEADERS,
        responses={200: AllSchedulesSerializer, **NOT_MODIFIED, **problems()},
    )
    def get(self, request: Request) -> Response:
        """Return since when, by whom and why all schedules are paused. `paused_at` may be null."""
        require(request.user, VIEW_SCHEDULE)
        return Response(AllSchedulesSerializer(service.read_state()).data)

    @extend_schema(
        operation_id="pause_all_schedules",
        summary="Pause all schedules",
        request=ReasonSerializer,
        responses={200: AllSchedulesSerializer, **problems(400, 415)},
    )
    def post(self, request: Request) -> Response:
        """Pause all schedules. Runs that have not started are withdrawn.

        Due times during the pause are recorded and not made up.
        """
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)
        reason = require_fields(request.data, "reason").get("reason", "")
        return Response(AllSchedulesSerializer(service.pause_all(reason, user=request.user)).data)


class ResumeAllView(ApiConventions, APIView):
    """Resume all schedules."""

    @extend_schema(
        operation_id="resume_all_schedules",
        summary="End the pause of all schedules",
        request=None,
        responses={200: AllSchedulesSerializer, **problems()},
    )
    def post(self, request: Request) -> Response:
        """End the pause. Schedules that are paused themselves stay paused."""
        require(request.user, VIEW_SCHEDULE, RUN_SCHEDULE)
        return Response(AllSchedulesSerializer(service.resume_all(user=request.user)).data)


def _with_status(request: Request, runs: QuerySet[ScheduleRun]) -> QuerySet[ScheduleRun]:
    """Add the status of the tasks, if the user may view tasks."""
    if not request.user.has_perm(VIEW):
        return runs
    tasks = Task.objects.filter(pk=OuterRef("task_id"))
    return runs.annotate(status=Subquery(tasks.values("status")[:1]))


def _run(request: Request, run: ScheduleRun) -> Any:
    found = _with_status(
        request, ScheduleRun.objects.using(DEFAULT_DB_ALIAS).filter(pk=run.pk)
    ).get()
    return ScheduleRunSerializer(found).data
