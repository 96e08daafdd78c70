"""Serve bulk operations: create, view, confirm and cancel."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster.tasks.api.bodies import require_object, take_flag
from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import ApiConventions, IsoTimes, extend_schema
from taskmaster.tasks.api.filters import StrictFilterBackend
from taskmaster.tasks.api.pagination import NewestFirst
from taskmaster.tasks.api.parsers import JSONParser
from taskmaster.tasks.api.views import JSON, problems
from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk.request import MAX_IDS, parse
from taskmaster.tasks.bulk_actions import TASK_ACTIONS, Action
from taskmaster.tasks.errors import OperationNotFound
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.models import Operation
from taskmaster.tasks.models.operation import OperationState
from taskmaster.tasks.options import MAX_PRIORITY, MAX_QUEUE, MIN_PRIORITY
from taskmaster.tasks.permissions import VIEW, require

_LISTED = [
    "id",
    "action",
    "filter",
    "queue",
    "priority",
    "schedule_id",
    "schedule_name",
    "first_due_at",
    "last_due_at",
    "created_until",
    "state",
    "total",
    "at_least",
    "done",
    "refused",
    "error",
    "user",
    "cancelled_by",
    "created_at",
    "confirmed_at",
    "started_at",
    "finished_at",
]


class OperationRowSerializer(IsoTimes, serializers.ModelSerializer[Operation]):
    """Bulk operation in a list, without its ids."""

    # As choices they would share a name in the schema with those of a new operation.
    action = serializers.CharField(help_text=", ".join(Action))
    state = serializers.ChoiceField([state.value for state in OperationState])
    filter = serializers.DictField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="Null if the operation has ids, and for a back-fill.",
    )
    schedule_id = serializers.IntegerField(
        allow_null=True, help_text="Schedule of a back-fill. Null for an operation on tasks."
    )
    schedule_name = serializers.CharField(help_text="Empty for an operation on tasks.")
    refused = serializers.DictField(
        child=serializers.IntegerField(), help_text="Number of refused tasks by reason."
    )
    user = serializers.CharField(help_text="Name of the user. Empty for the command line.")

    class Meta:
        model = Operation
        fields = _LISTED
        read_only_fields = _LISTED


class OperationSerializer(OperationRowSerializer):
    """Bulk operation with all fields."""

    ids = serializers.ListField(
        child=serializers.IntegerField(),
        allow_null=True,
        help_text="Null if the operation has a filter, and for a back-fill.",
    )

    class Meta(OperationRowSerializer.Meta):
        fields = [*_LISTED, "ids"]
        read_only_fields = fields


@extend_schema_field(OpenApiTypes.OBJECT)
class _FilterField(serializers.Field[Any, Any, Any, Any]):
    """Describe the filter in the schema."""


class NewOperationSerializer(serializers.Serializer[Any]):
    """Request for a bulk operation. `taskmaster.tasks.bulk.request.parse` validates it."""

    action = serializers.ChoiceField([action.value for action in TASK_ACTIONS])
    filter = _FilterField(
        required=False,
        help_text=(
            "Filters of the task list by name, such as "
            '{"status": "failed", "queue": "mail"}. {} selects every task. Give filter or ids.'
        ),
    )
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), max_length=MAX_IDS, required=False
    )
    queue = serializers.CharField(
        max_length=MAX_QUEUE, required=False, help_text="New queue. Required with set_queue only."
    )
    priority = serializers.IntegerField(
        min_value=MIN_PRIORITY,
        max_value=MAX_PRIORITY,
        required=False,
        help_text="New priority. Required with set_priority only.",
    )
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only count the tasks to change."
    )
    confirm = serializers.BooleanField(
        required=False,
        default=True,
        help_text="Whether to start now. false stores a preview to confirm later.",
    )


class CountSerializer(serializers.Serializer[Any]):
    """Result of a dry run."""

    count = serializers.IntegerField()
    at_least = serializers.BooleanField(
        help_text="Whether `count` is a lower bound, because the count timed out."
    )


class OperationFilter(filters.FilterSet):
    """Select the operations that meet all given conditions."""

    state = filters.ChoiceFilter(choices=[(state.value, state.value) for state in OperationState])
    action = filters.ChoiceFilter(choices=[(action.value, action.value) for action in Action])
    user = filters.CharFilter(help_text="Name of the user who created the operation.")

    class Meta:
        model = Operation
        fields: list[str] = []


@conditional
class OperationsView(ApiConventions, GenericAPIView[Operation]):
    """List and create bulk operations."""

    parser_classes = [JSONParser]
    serializer_class = OperationRowSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = OperationFilter
    pagination_class = NewestFirst
    queryset = Operation.objects.only(*_LISTED)

    @extend_schema(
        operation_id="list_operations",
        summary="List bulk operations, newest first",
        parameters=HEADERS,
        responses={
            (200, JSON): OperationRowSerializer(many=True),
            **NOT_MODIFIED,
            **problems(400),
        },
    )
    def get(self, request: Request) -> Response:
        """Return the operations without their ids. A single operation includes them.

        Back-fills of schedules are left out without the permission
        `taskmaster_tasks.view_schedule`.
        """
        require(request.user, VIEW)
        operations = service.visible(self.get_queryset(), request.user)
        page = self.paginate_queryset(self.filter_queryset(operations))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="start_operation",
        summary="Create a bulk operation",
        request=NewOperationSerializer,
        responses={
            200: OpenApiResponse(CountSerializer, description="Result of a dry run."),
            201: OperationSerializer,
            **problems(400, 413, 415),
        },
    )
    def post(self, request: Request) -> Response:
        """Start a bulk operation, unless `dry_run` is true or `confirm` is false.

        The operation counts and changes only tasks that its action can change. It ignores tasks
        that are submitted later. The action `delete` requires the permission
        `taskmaster_tasks.delete_task`, every other action `taskmaster_tasks.change_task`. Retries
        of shell tasks are refused without `taskmaster_tasks.submit_shell`.
        """
        fields = dict(require_object(request.data))
        dry_run = take_flag(fields, "dry_run", default=False)
        confirm = take_flag(fields, "confirm", default=True)
        bulk_request = parse(fields)
        if dry_run:
            count = service.count_tasks(bulk_request, request.user)
            return Response({"count": count.number, "at_least": count.at_least})
        create = service.start if confirm else service.preview
        operation = create(bulk_request, request.user)
        where = reverse("taskmaster:api:operation", [operation.pk], request=request)
        return Response(
            OperationSerializer(operation).data, status=201, headers={"Location": where}
        )


@conditional
class OperationView(ApiConventions, APIView):
    """Serve one bulk operation."""

    @extend_schema(
        operation_id="get_operation",
        summary="Get a bulk operation and its progress",
        parameters=HEADERS,
        responses={200: OperationSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, operation_id: str) -> Response:
        """Return the operation. `done` and `refused` increase while it runs.

        The back-fill of a schedule needs the permission `taskmaster_tasks.view_schedule` in place
        of `taskmaster_tasks.view_task`.
        """
        operation = service.find(_parse_id(operation_id), request.user)
        return Response(OperationSerializer(operation).data)


class ConfirmOperationView(ApiConventions, APIView):
    """Confirm bulk operations."""

    @extend_schema(
        operation_id="confirm_operation",
        summary="Start a bulk operation that was stored as a preview",
        request=None,
        responses={200: OperationSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, operation_id: str) -> Response:
        """Confirm the operation. Only its creator may: it runs with that user's permissions."""
        operation = service.confirm(_parse_id(operation_id), request.user)
        return Response(OperationSerializer(operation).data)


class CancelOperationView(ApiConventions, APIView):
    """Cancel bulk operations."""

    @extend_schema(
        operation_id="cancel_operation",
        summary="Cancel a bulk operation that has not ended",
        request=None,
        responses={200: OperationSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, operation_id: str) -> Response:
        """Cancel the operation. Tasks that it has already changed stay changed.

        Runs that a back-fill has created stay. To cancel it needs `taskmaster_tasks.run_schedule`.
        """
        operation = service.cancel(_parse_id(operation_id), request.user)
        return Response(OperationSerializer(operation).data)


def _parse_id(operation_id: str) -> int:
    """Return the id in a URL. Raise OperationNotFound if it exceeds the range of ids."""
    value = parse_id(operation_id)
    if value is None:
        raise OperationNotFound(operation_id)
    return value
