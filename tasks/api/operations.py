"""Operations on many tasks: made, looked at, confirmed and cancelled."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from tasks.api.bodies import object_of
from tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from tasks.api.filters import StrictFilterBackend
from tasks.api.pagination import NewestFirst
from tasks.api.parsers import JSONParser
from tasks.api.views import JSON, problems
from tasks.bulk import operate
from tasks.bulk.actions import Action
from tasks.bulk.wanted import MAX_IDS, parse
from tasks.errors import InvalidField, OperationNotFound
from tasks.ids import as_id
from tasks.models import Operation
from tasks.models.operation import State
from tasks.permissions import VIEW, require
from tasks.submission import MAX_PRIORITY, MAX_QUEUE, MIN_PRIORITY

_LISTED = [
    "id",
    "action",
    "filter",
    "queue",
    "priority",
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


class OperationRowSerializer(serializers.ModelSerializer[Operation]):
    """An operation in a list."""

    action = serializers.ChoiceField([action.value for action in Action])
    state = serializers.ChoiceField([state.value for state in State])
    filter = serializers.DictField(
        child=serializers.CharField(), allow_null=True, help_text="Null where ids are named."
    )
    refused = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many tasks were refused, by reason."
    )
    user = serializers.CharField(help_text="Who asked for it; empty: the command line.")

    class Meta:
        model = Operation
        fields = _LISTED
        read_only_fields = _LISTED


class OperationSerializer(OperationRowSerializer):
    """A whole operation."""

    ids = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="Null where a filter selects."
    )

    class Meta(OperationRowSerializer.Meta):
        fields = [*_LISTED, "ids"]
        read_only_fields = fields


@extend_schema_field(OpenApiTypes.OBJECT)
class _FilterField(serializers.Field[Any, Any, Any, Any]):
    """For the schema alone."""


class NewOperationSerializer(serializers.Serializer[Any]):
    """What is asked for, for the schema: `tasks.bulk.wanted.parse` reads and checks it."""

    action = serializers.ChoiceField([action.value for action in Action])
    filter = _FilterField(
        required=False,
        help_text=(
            "Names and values as the list of tasks takes them, like "
            '{"status": "failed", "queue": "mail"}; {}: every task. This or ids.'
        ),
    )
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), max_length=MAX_IDS, required=False
    )
    queue = serializers.CharField(
        max_length=MAX_QUEUE, required=False, help_text="Of set_queue, which needs it."
    )
    priority = serializers.IntegerField(
        min_value=MIN_PRIORITY,
        max_value=MAX_PRIORITY,
        required=False,
        help_text="Of set_priority, which needs it.",
    )
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only count the tasks that it would change."
    )
    confirm = serializers.BooleanField(
        required=False, default=True, help_text="false: store a preview, which waits for `confirm`."
    )


class CountSerializer(serializers.Serializer[Any]):
    """What a dry run answers."""

    count = serializers.IntegerField()
    at_least = serializers.BooleanField(help_text="Counting all of them would take too long.")


class OperationFilter(filters.FilterSet):
    """The operations that meet every condition given."""

    state = filters.ChoiceFilter(choices=[(state.value, state.value) for state in State])
    action = filters.ChoiceFilter(choices=[(action.value, action.value) for action in Action])
    user = filters.CharFilter(help_text="Who asked for it.")

    class Meta:
        model = Operation
        fields: list[str] = []


@conditional
class OperationsView(GenericAPIView[Operation]):
    """All operations."""

    parser_classes = [JSONParser]
    serializer_class = OperationRowSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = OperationFilter
    pagination_class = NewestFirst
    queryset = Operation.objects.only(*_LISTED)

    @extend_schema(
        operation_id="list_operations",
        summary="List operations on many tasks, newest first",
        parameters=HEADERS,
        responses={
            (200, JSON): OperationRowSerializer(many=True),
            **NOT_MODIFIED,
            **problems(400),
        },
    )
    def get(self, request: Request) -> Response:
        """The list leaves out the ids that an operation names: see the single operation."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="start_operation",
        summary="Do something to many tasks",
        request=NewOperationSerializer,
        responses={
            200: OpenApiResponse(CountSerializer, description="The answer to a dry run."),
            201: OperationSerializer,
            **problems(400, 413, 415),
        },
    )
    def post(self, request: Request) -> Response:
        """It starts at once, unless told otherwise; tasks that come later are not touched.

        Only what the action can change is counted and changed. Deleting needs the permission
        `tasks.delete_task`, all else `tasks.change_task`; retried shell tasks need
        `tasks.submit_shell` besides, and are refused without it.
        """
        fields = dict(object_of(request.data))
        dry_run = _flag(fields, "dry_run", default=False)
        at_once = _flag(fields, "confirm", default=True)
        wanted = parse(fields)
        if dry_run:
            count = operate.counted(wanted, request.user)
            return Response({"count": count.number, "at_least": count.at_least})
        make = operate.start if at_once else operate.preview
        operation = make(wanted, request.user)
        where = reverse("api:operation", [operation.pk], request=request)
        return Response(
            OperationSerializer(operation).data, status=201, headers={"Location": where}
        )


@conditional
class OperationView(APIView):
    """One operation."""

    @extend_schema(
        operation_id="get_operation",
        summary="Show an operation and how far it is",
        parameters=HEADERS,
        responses={200: OperationSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, operation_id: str) -> Response:
        """`done` and `refused` grow while it runs."""
        require(request.user, VIEW)
        operation = Operation.objects.filter(pk=_number(operation_id)).first()
        if operation is None:
            raise OperationNotFound(operation_id)
        return Response(OperationSerializer(operation).data)


class ConfirmOperationView(APIView):
    """Confirming."""

    @extend_schema(
        operation_id="confirm_operation",
        summary="Start an operation that was stored as a preview",
        request=None,
        responses={200: OperationSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, operation_id: str) -> Response:
        """Only who has made it may: it runs with that user's permissions."""
        operation = operate.confirm(_number(operation_id), request.user)
        return Response(OperationSerializer(operation).data)


class CancelOperationView(APIView):
    """Cancelling."""

    @extend_schema(
        operation_id="cancel_operation",
        summary="Cancel an operation that has not ended",
        request=None,
        responses={200: OperationSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, operation_id: str) -> Response:
        """What is done stays done."""
        operation = operate.cancel(_number(operation_id), request.user)
        return Response(OperationSerializer(operation).data)


def _flag(fields: dict[str, Any], name: str, *, default: bool) -> bool:
    value = fields.pop(name, default)
    if not isinstance(value, bool):
        raise InvalidField(name, "must be true or false.")
    return value


def _number(operation_id: str) -> int:
    """The id of a URL. Raises OperationNotFound for one that no row can have."""
    value = as_id(operation_id)
    if value is None:
        raise OperationNotFound(operation_id)
    return value
