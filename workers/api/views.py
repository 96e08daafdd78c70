"""Provide the REST endpoints of workers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.filters import StrictFilterBackend
from taskmaster.tasks.api.pagination import NewestFirst
from taskmaster.tasks.api.views import JSON, problems
from taskmaster.tasks.permissions import require
from taskmaster.workers import operations
from taskmaster.workers.api.serializers import WorkerDetailSerializer, WorkerSerializer
from taskmaster.workers.models import Worker
from taskmaster.workers.models.worker import WorkerStatus
from taskmaster.workers.operations import WorkerNotFound
from taskmaster.workers.permissions import CHANGE, KILL, VIEW


class WorkerPages(NewestFirst):
    """Paginate workers by registration time, newest first."""

    ordering = ("-registered_at", "-id")


class WorkerFilter(filters.FilterSet):
    """Select the workers that match all given conditions."""

    status = filters.ChoiceFilter(choices=WorkerStatus.choices)
    name = filters.CharFilter()
    pool = filters.CharFilter(help_text="Name of the worker pool.")

    class Meta:
        model = Worker
        fields: list[str] = []


@conditional
class WorkersView(ApiConventions, GenericAPIView[Worker]):
    """List all workers, including those that are offline."""

    serializer_class = WorkerSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = WorkerFilter
    pagination_class = WorkerPages
    queryset = Worker.objects.all()

    @extend_schema(
        operation_id="list_workers",
        summary="List workers, newest first",
        parameters=HEADERS,
        responses={(200, JSON): WorkerSerializer(many=True), **NOT_MODIFIED, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Return one entry for each run of a worker process. Ended runs are offline."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


@conditional
class WorkerView(ApiConventions, APIView):
    """Serve one worker."""

    @extend_schema(
        operation_id="get_worker",
        summary="Get a worker",
        parameters=HEADERS,
        responses={200: WorkerDetailSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, worker_id: UUID) -> Response:
        """Return the worker, as last reported to its coordinator."""
        require(request.user, VIEW)
        return Response(_shown(worker_id))


class DrainView(ApiConventions, APIView):
    """Drain a worker."""

    @extend_schema(
        operation_id="drain_worker",
        summary="Drain a worker",
        request=None,
        responses={200: WorkerDetailSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """Drain the worker.

        It accepts no new tasks, finishes its running tasks and goes offline.
        """
        require(request.user, VIEW, CHANGE)
        operations.drain(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


class UndrainView(ApiConventions, APIView):
    """Undrain a worker."""

    @extend_schema(
        operation_id="undrain_worker",
        summary="Let a draining worker accept tasks again",
        request=None,
        responses={200: WorkerDetailSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """Let the worker accept tasks again, unless it is offline or was asked to stop."""
        require(request.user, VIEW, CHANGE)
        operations.undrain(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


class StopView(ApiConventions, APIView):
    """Stop a worker."""

    @extend_schema(
        operation_id="stop_worker",
        summary="Stop a worker",
        request=None,
        responses={200: WorkerDetailSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """Stop the worker as SIGTERM does.

        It accepts no new tasks. Running tasks may end within the grace, and are handed back
        otherwise.
        """
        require(request.user, VIEW, CHANGE)
        operations.stop(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


class KillView(ApiConventions, APIView):
    """Kill a worker."""

    @extend_schema(
        operation_id="kill_worker",
        summary="Kill a worker",
        request=None,
        responses={200: WorkerDetailSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """Kill the worker as `kill -9` does. Its running tasks are lost and rescued.

        Requires the permission `taskmaster_workers.kill_worker`.
        """
        require(request.user, VIEW, KILL)
        operations.kill(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


def _shown(worker_id: UUID) -> Any:
    worker = Worker.objects.filter(pk=worker_id).first()
    if worker is None:
        raise WorkerNotFound(worker_id)
    return WorkerDetailSerializer(worker).data
