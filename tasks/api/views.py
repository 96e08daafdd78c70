"""Serve the endpoints of tasks. Views translate only; the domain contains the rules."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster.tasks import submission, task_actions
from taskmaster.tasks.api import idempotency
from taskmaster.tasks.api.bodies import require_ids, require_object, require_tasks
from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.errors import MEDIA_TYPE
from taskmaster.tasks.api.filters import OutputFilter, StrictFilterBackend
from taskmaster.tasks.api.pagination import NewestFirst
from taskmaster.tasks.api.parsers import JSONParser
from taskmaster.tasks.api.serializers import (
    BulkSerializer,
    IdsSerializer,
    NewTaskSerializer,
    OutputSerializer,
    ProblemSerializer,
    RescheduleSerializer,
    RetriedSerializer,
    SubmittedIdsSerializer,
    SubmittedSerializer,
    TaskRowSerializer,
    TaskSerializer,
)
from taskmaster.tasks.enqueue import bulk, enqueue
from taskmaster.tasks.errors import IllegalTransition, InvalidField, NotAllowed, TaskNotFound
from taskmaster.tasks.events.publish import publish_submitted
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.messages import list_notices
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.permissions import ADD, CHANGE, VIEW, check_submit, require
from taskmaster.tasks.queries.filters import ListedTaskFilter

#: Media type of a list's response. `problems` gives its responses a media type, so drf-spectacular
#: needs one here too; otherwise it omits the list and its filters from the schema.
JSON = "application/json"


def problems(*codes: int) -> dict[Any, Any]:
    """Return the error responses of an endpoint for the schema. Every endpoint has 401 and 403."""
    return {(code, MEDIA_TYPE): ProblemSerializer for code in sorted({401, 403, *codes})}


@conditional
class TasksView(ApiConventions, GenericAPIView[Task]):
    """List and submit tasks."""

    parser_classes = [JSONParser]
    serializer_class = TaskRowSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = ListedTaskFilter
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
        """Return the tasks without arguments, results and errors. A single task includes them."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="submit_task",
        summary="Submit a task",
        request=NewTaskSerializer,
        parameters=idempotency.HEADERS,
        responses={201: SubmittedSerializer, **problems(400, 413, 415, 422)},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Submit a task. Requires the permission `taskmaster_tasks.add_task`.

        A shell task also requires `taskmaster_tasks.submit_shell`. Without the permission
        `taskmaster_tasks.view_task` the response has the `id` only. A `notice` is added if only
        workers know the name of the task.
        """
        require(request.user, ADD)
        return idempotency.submit_once(request, lambda: self._submit(request))

    def _submit(self, request: Request) -> Response:
        new = submission.parse(require_object(request.data))
        check_submit(request.user, [new])
        task_id = enqueue(new, created_by_id=request.user.pk)
        publish_submitted([task_id], [new], request.user.get_username())
        where = reverse("taskmaster:api:task", [task_id], request=request)
        shown = _serialize(task_id) if request.user.has_perm(VIEW) else {"id": task_id}
        if new.notice:
            shown = {**shown, "notice": new.notice}
        return Response(shown, status=201, headers={"Location": where})


class BulkView(ApiConventions, APIView):
    """Submit many tasks."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="submit_tasks",
        summary="Submit many tasks, all or none",
        request=BulkSerializer,
        parameters=idempotency.HEADERS,
        responses={201: SubmittedIdsSerializer, **problems(400, 413, 415, 422)},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Submit tasks in one transaction. The body may also be the list itself.

        The setting `bulk_max_tasks` limits their number (default: 100,000).
        """
        require(request.user, ADD)
        return idempotency.submit_once(request, lambda: self._submit(request))

    def _submit(self, request: Request) -> Response:
        new = submission.parse_many(require_tasks(request.data))
        check_submit(request.user, new)
        ids = bulk(new, created_by_id=request.user.pk)
        publish_submitted(ids, new, request.user.get_username())
        notices = list_notices(new)
        return Response({"ids": ids, **({"notices": notices} if notices else {})}, status=201)


@conditional
class TaskView(ApiConventions, APIView):
    """Serve and reschedule one task."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="get_task",
        summary="Get a task",
        parameters=HEADERS,
        responses={200: TaskSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, task_id: str) -> Response:
        """Return the task with arguments, result and the error of each failed attempt."""
        require(request.user, VIEW)
        return Response(_serialize(parse_task_id(task_id)))

    @extend_schema(
        operation_id="reschedule_task",
        summary="Reschedule a task that has not started",
        request=RescheduleSerializer,
        responses={200: TaskSerializer, **problems(400, 404, 409, 415)},
    )
    def patch(self, request: Request, task_id: str) -> Response:
        """Set `scheduled_at`. Other fields cannot be changed."""
        require(request.user, VIEW, CHANGE)
        changes = require_object(request.data)
        for field in changes:
            if field != "scheduled_at":
                raise InvalidField(
                    field, "cannot be changed; the only field to change is scheduled_at."
                )
        by = request.user.get_username()
        task_actions.reschedule(parse_task_id(task_id), changes.get("scheduled_at"), by=by)
        return Response(_serialize(parse_task_id(task_id)))


class OutputView(ApiConventions, GenericAPIView[TaskOutput]):
    """Serve the output of a task."""

    serializer_class = OutputSerializer
    filter_backends = [StrictFilterBackend]
    filterset_class = OutputFilter
    pagination_class = None
    extra_parameters = frozenset({"plain"})
    queryset = TaskOutput.objects.order_by("lease", "seq")

    @extend_schema(
        operation_id="get_task_output",
        summary="Get the output of a task",
        parameters=[
            OpenApiParameter(
                "plain",
                OpenApiTypes.STR,
                enum=["1"],
                description="1 returns plain text.",
            )
        ],
        responses={
            (200, JSON): OutputSerializer(many=True),
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR),
            **problems(400, 404),
        },
    )
    def get(self, request: Request, task_id: str) -> HttpResponseBase:
        """Return the output chunks in order.

        The setting `output_max_bytes` limits the output of an attempt. Longer output keeps its
        start and its end.
        """
        require(request.user, VIEW)
        plain = request.query_params.get("plain", "")
        if plain not in ("", "0", "1"):
            raise InvalidField("plain", "must be 0 or 1.")
        if not Task.objects.filter(pk=parse_task_id(task_id)).exists():
            raise TaskNotFound(task_id)
        chunks = self.filter_queryset(self.get_queryset().filter(task_id=parse_task_id(task_id)))
        if plain == "1":
            text = "".join(chunks.values_list("text", flat=True))
            return HttpResponse(text, content_type="text/plain; charset=utf-8")
        return Response(self.get_serializer(chunks, many=True).data)


class CancelView(ApiConventions, APIView):
    """Cancel tasks."""

    @extend_schema(
        operation_id="cancel_task",
        summary="Cancel a task that has not ended",
        request=None,
        responses={200: TaskSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """Cancel the task. A running execution is stopped."""
        require(request.user, VIEW, CHANGE)
        task_actions.cancel(parse_task_id(task_id), by=request.user.get_username())
        return Response(_serialize(parse_task_id(task_id)))


class RetryView(ApiConventions, APIView):
    """Retry tasks."""

    @extend_schema(
        operation_id="retry_task",
        summary="Retry a failed or cancelled task",
        request=None,
        responses={200: TaskSerializer, **problems(404, 409)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """Make the task pending and due now, with at least one attempt left.

        A shell task also requires the permission `taskmaster_tasks.submit_shell`.
        """
        require(request.user, VIEW, CHANGE)
        task_actions.retry_for(request.user, parse_task_id(task_id))
        return Response(_serialize(parse_task_id(task_id)))


class RetryManyView(ApiConventions, APIView):
    """Retry many tasks."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="retry_tasks",
        summary="Retry many failed or cancelled tasks",
        request=IdsSerializer,
        responses={200: RetriedSerializer, **problems(400, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Retry each task separately. Return the retried ids and the reason of each refusal."""
        require(request.user, VIEW, CHANGE)
        retried: list[int] = []
        refused: list[dict[str, Any]] = []
        for task_id in require_ids(request.data):
            try:
                task_actions.retry_for(request.user, task_id)
            except (TaskNotFound, IllegalTransition, NotAllowed) as error:
                refused.append({"id": task_id, "detail": str(error)})
            else:
                retried.append(task_id)
        return Response({"retried": retried, "refused": refused})


def parse_task_id(task_id: str) -> int:
    """Return the id in a URL. Raise TaskNotFound if it exceeds the range of ids."""
    value = parse_id(task_id)
    if value is None:
        raise TaskNotFound(task_id)
    return value


def _serialize(task_id: int) -> Any:
    task: QuerySet[Task] = Task.objects.select_related("created_by").filter(pk=task_id)
    if (found := task.first()) is None:
        raise TaskNotFound(task_id)
    return TaskSerializer(found).data
