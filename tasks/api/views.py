"""The endpoints of tasks: translation only, the rules are in the domain."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from tasks import operations, submission
from tasks.api import idempotency
from tasks.api.bodies import ids_of, object_of, tasks_of
from tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from tasks.api.errors import MEDIA_TYPE
from tasks.api.filters import OutputFilter, StrictFilterBackend, TaskFilter
from tasks.api.pagination import NewestFirst
from tasks.api.parsers import JSONParser
from tasks.api.serializers import (
    BulkSerializer,
    IdsSerializer,
    MoveSerializer,
    NewTaskSerializer,
    OutputSerializer,
    ProblemSerializer,
    RetriedSerializer,
    TaskRowSerializer,
    TaskSerializer,
)
from tasks.enqueue import bulk, enqueue
from tasks.errors import IllegalTransition, InvalidField, NotAllowed, TaskNotFound
from tasks.events.submitted import submitted
from tasks.ids import as_id
from tasks.models import Task, TaskOutput
from tasks.permissions import ADD, CHANGE, VIEW, check_submit, require

#: The media type of a list's response: beside those of `problems` the schema takes an answer
#: without one for no list, and leaves out its filters.
JSON = "application/json"


def problems(*codes: int) -> dict[Any, Any]:
    """The error responses of an endpoint, for the schema; those of any endpoint among them."""
    return {(code, MEDIA_TYPE): ProblemSerializer for code in sorted({401, 403, *codes})}


@conditional
class TasksView(GenericAPIView[Task]):
    """All tasks."""

    parser_classes = [JSONParser]
    serializer_class = TaskRowSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = TaskFilter
    pagination_class = NewestFirst
    queryset = Task.objects.only(*TaskRowSerializer.Meta.fields)

    @extend_schema(
        operation_id="list_tasks",
        summary="List tasks, newest first",
        parameters=HEADERS,
        responses={
            (200, JSON): TaskRowSerializer(many=True),
            **NOT_MODIFIED,
            **problems(400),
        },
    )
    def get(self, request: Request) -> Response:
        """The list leaves out arguments, results and errors: see the single task."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="submit_task",
        summary="Submit a task",
        request=NewTaskSerializer,
        parameters=idempotency.HEADERS,
        responses={201: TaskSerializer, **problems(400, 413, 415, 422)},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """A shell task needs the permission `tasks.submit_shell` besides `tasks.add_task`."""
        require(request.user, ADD)
        return idempotency.once(request, lambda: self._submit(request))

    def _submit(self, request: Request) -> Response:
        new = submission.parse(object_of(request.data))
        check_submit(request.user, [new])
        task_id = enqueue(new, created_by_id=request.user.pk)
        submitted([task_id], [new], request.user.get_username())
        where = reverse("api:task", [task_id], request=request)
        return Response(_shown(task_id), status=201, headers={"Location": where})


class BulkView(APIView):
    """Many tasks at once."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="submit_tasks",
        summary="Submit many tasks, all or none",
        request=BulkSerializer,
        parameters=idempotency.HEADERS,
        responses={201: IdsSerializer, **problems(400, 413, 415, 422)},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Up to 100,000 unless set otherwise; a list alone will do as well."""
        require(request.user, ADD)
        return idempotency.once(request, lambda: self._submit(request))

    def _submit(self, request: Request) -> Response:
        new = submission.parse_many(tasks_of(request.data))
        check_submit(request.user, new)
        ids = bulk(new, created_by_id=request.user.pk)
        submitted(ids, new, request.user.get_username())
        return Response({"ids": ids}, status=201)


@conditional
class TaskView(APIView):
    """One task."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="get_task",
        summary="Show a task",
        parameters=HEADERS,
        responses={200: TaskSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, task_id: str) -> Response:
        """With its arguments, result, and the error of each attempt that failed."""
        require(request.user, VIEW)
        return Response(_shown(number(task_id)))

    @extend_schema(
        operation_id="move_task",
        summary="Give a task that has not begun another time",
        request=MoveSerializer,
        responses={200: TaskSerializer, **problems(400, 404, 409, 415)},
    )
    def patch(self, request: Request, task_id: str) -> Response:
        """Nothing but `scheduled_at` can be changed."""
        require(request.user, CHANGE)
        changes = object_of(request.data)
        for field in changes:
            if field != "scheduled_at":
                raise InvalidField(field, "cannot be changed; only scheduled_at can.")
        by = request.user.get_username()
        operations.move(number(task_id), changes.get("scheduled_at"), by=by)
        return Response(_shown(number(task_id)))


class OutputView(GenericAPIView[TaskOutput]):
    """What a task printed."""

    serializer_class = OutputSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = OutputFilter
    pagination_class = None
    extra_parameters = frozenset({"plain"})
    queryset = TaskOutput.objects.order_by("lease", "seq")

    @extend_schema(
        operation_id="get_task_output",
        summary="Show what a task printed",
        parameters=[
            OpenApiParameter(
                "plain",
                OpenApiTypes.STR,
                enum=["1"],
                description="1: plain text, as it was printed.",
            )
        ],
        responses={
            (200, JSON): OutputSerializer(many=True),
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR),
            **problems(400, 404),
        },
    )
    def get(self, request: Request, task_id: str) -> HttpResponseBase:
        """The chunks in order; of each attempt the first and the newest are kept, up to a limit."""
        require(request.user, VIEW)
        plain = request.query_params.get("plain", "")
        if plain not in ("", "0", "1"):
            raise InvalidField("plain", "must be 0 or 1.")
        if not Task.objects.filter(pk=number(task_id)).exists():
            raise TaskNotFound(task_id)
        chunks = self.filter_queryset(self.get_queryset().filter(task_id=number(task_id)))
        if plain == "1":
            text = "".join(chunks.values_list("text", flat=True))
            return HttpResponse(text, content_type="text/plain; charset=utf-8")
        return Response(self.get_serializer(chunks, many=True).data)


class CancelView(APIView):
    """Cancelling."""

    @extend_schema(
        operation_id="cancel_task",
        summary="Cancel a task that has not ended",
        request=None,
        responses={200: TaskSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """An execution under way is stopped."""
        require(request.user, CHANGE)
        operations.cancel(number(task_id), by=request.user.get_username())
        return Response(_shown(number(task_id)))


class RetryView(APIView):
    """Retrying."""

    @extend_schema(
        operation_id="retry_task",
        summary="Retry a failed or cancelled task",
        request=None,
        responses={200: TaskSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """It is pending again, due now, with at least one attempt left.

        A shell task needs the permission `tasks.submit_shell` besides.
        """
        require(request.user, CHANGE)
        operations.retry_for(request.user, number(task_id))
        return Response(_shown(number(task_id)))


class RetryManyView(APIView):
    """Retrying many."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="retry_tasks",
        summary="Retry many failed or cancelled tasks, each by itself",
        request=IdsSerializer,
        responses={200: RetriedSerializer, **problems(400, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Says which are pending again, and why the others are not."""
        require(request.user, CHANGE)
        retried: list[int] = []
        refused: list[dict[str, Any]] = []
        for task_id in ids_of(request.data):
            try:
                operations.retry_for(request.user, task_id)
            except (TaskNotFound, IllegalTransition, NotAllowed) as refusal:
                refused.append({"id": task_id, "detail": str(refusal)})
            else:
                retried.append(task_id)
        return Response({"retried": retried, "refused": refused})


def number(task_id: str) -> int:
    """The id of a URL. Raises TaskNotFound for one that no row can have."""
    value = as_id(task_id)
    if value is None:
        raise TaskNotFound(task_id)
    return value


def _shown(task_id: int) -> Any:
    task: QuerySet[Task] = Task.objects.select_related("created_by").filter(pk=task_id)
    if (found := task.first()) is None:
        raise TaskNotFound(task_id)
    return TaskSerializer(found).data
