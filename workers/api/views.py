"""The endpoints of workers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from tasks.api.filters import StrictFilterBackend
from tasks.api.pagination import NewestFirst
from tasks.api.views import JSON, problems
from tasks.permissions import require
from workers import operations
from workers.api.serializers import WorkerSerializer
from workers.models import Worker
from workers.models.worker import WorkerStatus
from workers.operations import WorkerNotFound
from workers.permissions import CHANGE, KILL, VIEW


class WorkerPages(NewestFirst):
    """By the time they came, newest first."""

    ordering = ("-registered_at", "-id")


class WorkerFilter(filters.FilterSet):
    """The workers that meet every condition given."""

    status = filters.ChoiceFilter(choices=WorkerStatus.choices)
    name = filters.CharFilter()

    class Meta:
        model = Worker
        fields: list[str] = []


@conditional
class WorkersView(GenericAPIView[Worker]):
    """All workers, those that have gone among them."""

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
        """Each run of a worker process is one; those that have ended are offline."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


@conditional
class WorkerView(APIView):
    """One worker."""

    @extend_schema(
        operation_id="get_worker",
        summary="Show a worker",
        parameters=HEADERS,
        responses={200: WorkerSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, worker_id: UUID) -> Response:
        """As its coordinator last heard of it."""
        require(request.user, VIEW)
        return Response(_shown(worker_id))


class DrainView(APIView):
    """Draining."""

    @extend_schema(
        operation_id="drain_worker",
        summary="Drain a worker",
        request=None,
        responses={200: WorkerSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """It takes nothing new, finishes what it runs, and goes offline then."""
        require(request.user, CHANGE)
        operations.drain(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


class UndrainView(APIView):
    """Taking it back."""

    @extend_schema(
        operation_id="undrain_worker",
        summary="Let a draining worker take tasks again",
        request=None,
        responses={200: WorkerSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """As long as it has not gone offline, and was not told to stop."""
        require(request.user, CHANGE)
        operations.undrain(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


class StopView(APIView):
    """Stopping."""

    @extend_schema(
        operation_id="stop_worker",
        summary="Stop a worker",
        request=None,
        responses={200: WorkerSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """As SIGTERM does: nothing new; what runs may end in the grace, else it is handed back."""
        require(request.user, CHANGE)
        operations.stop(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


class KillView(APIView):
    """Killing."""

    @extend_schema(
        operation_id="kill_worker",
        summary="Kill a worker",
        request=None,
        responses={200: WorkerSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, worker_id: UUID) -> Response:
        """As kill -9 does: what it runs is lost and rescued. Needs `workers.kill_worker`."""
        require(request.user, KILL)
        operations.kill(worker_id, by=request.user.get_username())
        return Response(_shown(worker_id))


def _shown(worker_id: UUID) -> Any:
    worker = Worker.objects.filter(pk=worker_id).first()
    if worker is None:
        raise WorkerNotFound(worker_id)
    return WorkerSerializer(worker).data
