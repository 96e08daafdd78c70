"""Serve pauses of queues, task names and everything: list, create and delete."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster.tasks import registry
from taskmaster.tasks.api.bodies import require_fields
from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import ApiConventions, IsoTimes, extend_schema
from taskmaster.tasks.api.pagination import NewestFirst
from taskmaster.tasks.api.parsers import JSONParser
from taskmaster.tasks.api.views import JSON, problems
from taskmaster.tasks.models import Pause
from taskmaster.tasks.models.pause import KINDS, MAX_REASON
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW, require
from taskmaster.tasks.policies import pausing


class PauseSerializer(IsoTimes, serializers.ModelSerializer[Pause]):
    """What is paused, by whom, since when and why."""

    class Meta:
        model = Pause
        fields = ["id", "kind", "target", "paused_at", "paused_by", "reason"]
        read_only_fields = fields


class NewPauseSerializer(serializers.Serializer[Any]):
    """New pause. `taskmaster.tasks.policies.pausing` validates it."""

    kind = serializers.ChoiceField(KINDS)
    target = serializers.CharField(
        max_length=registry.MAX_NAME,
        required=False,
        help_text="Queue or task name. Omit it to pause everything.",
    )
    reason = serializers.CharField(max_length=MAX_REASON, required=False, default="")


@conditional
class PausesView(ApiConventions, GenericAPIView[Pause]):
    """List and create pauses."""

    parser_classes = [JSONParser]
    serializer_class = PauseSerializer
    pagination_class = NewestFirst
    queryset = Pause.objects.all()

    @extend_schema(
        operation_id="list_pauses",
        summary="List what is paused, newest first",
        parameters=HEADERS,
        responses={(200, JSON): PauseSerializer(many=True), **NOT_MODIFIED, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Return the pauses. Pauses of schedules are not among them."""
        require(request.user, VIEW)
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="create_pause",
        summary="Pause everything, a queue or a task name",
        request=NewPauseSerializer,
        responses={201: PauseSerializer, **problems(400, 409, 415)},
    )
    def post(self, request: Request) -> Response:
        """Pause. Tasks that have not started wait until the resume, and started tasks continue.

        Requires the permissions `taskmaster_tasks.view_task` and `taskmaster_tasks.pause_queue`.
        Schedules still create tasks, which wait. To stop only these, pause the schedules.
        """
        require(request.user, VIEW, PAUSE_QUEUE)
        fields = require_fields(request.data, "kind", "target", "reason")
        made = pausing.pause(
            fields.get("kind"),
            fields.get("target"),
            fields.get("reason", ""),
            user=request.user,
        )
        where = reverse("taskmaster:api:pause", [made.pk], request=request)
        return Response(PauseSerializer(made).data, status=201, headers={"Location": where})


class PauseView(ApiConventions, APIView):
    """End pauses."""

    @extend_schema(
        operation_id="delete_pause",
        summary="Resume what is paused",
        responses={204: None, **problems(404)},
    )
    def delete(self, request: Request, pause_id: str) -> Response:
        """End the pause. What else is paused stays paused."""
        require(request.user, VIEW, PAUSE_QUEUE)
        pausing.resume_by_id(pause_id, user=request.user)
        return Response(status=204)
