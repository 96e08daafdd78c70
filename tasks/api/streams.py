"""Admit readers to the live streams. The ASGI application does the streaming."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import APIException
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.views import parse_task_id, problems
from taskmaster.tasks.errors import InvalidField, TaskNotFound
from taskmaster.tasks.events import channels
from taskmaster.tasks.events.channels import SCOPE_KEY, StreamGrant
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.models import Task
from taskmaster.tasks.permissions import VIEW, require

_STREAM = OpenApiResponse(
    OpenApiTypes.STR,
    'Server-sent events. `event: events` carries `{"events": […]}`, each as in /api/events/. Send '
    "its `id:` as Last-Event-ID to resume. `event: stream-reset` reports that events after that id "
    "are no longer stored. `event: keep-alive` arrives every 2 seconds with the state of database, "
    "coordinators and workers.",
)
_LAST_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`channel:id` pairs separated by commas, as received from the stream. The query "
    "parameter `lastEventId` has the same effect. Default: start with the newest 250 events.",
)


class NeedsAsgi(APIException):
    """Report that the server cannot stream."""

    status_code = 501
    default_detail = (
        "Streams require an ASGI server and taskmaster.asgi.wrap() around its application; see "
        "docs/quickstart/existing-project.md."
    )


class EventStreamRenderer(BaseRenderer):
    """Accept requests for text/event-stream. Errors are rendered as JSON."""

    media_type = "text/event-stream"
    format = "sse"

    def render(self, data: Any, *args: object, **kwargs: object) -> bytes:
        """Render the error."""
        return json.dumps(data).encode()


class _StreamView(ApiConventions, APIView):
    renderer_classes = [EventStreamRenderer, JSONRenderer]
    # Exclude HEAD. Django would answer it with GET and wait for the end of the stream.
    http_method_names = ["get", "options"]

    def grant(self, request: Request, names: list[str]) -> HttpResponse:
        """Store a grant for the ASGI application. Raise NotAllowed, InvalidField or NeedsAsgi."""
        for permission in dict.fromkeys(
            each for name in names for each in channels.permissions(name)
        ):
            require(request.user, permission)
        scope = getattr(request._request, "scope", None)
        if scope is None or SCOPE_KEY not in scope:
            raise NeedsAsgi
        token = request.auth
        scope[SCOPE_KEY] = StreamGrant(
            user=request.user,
            credential=("token", token.key)
            if isinstance(token, Token)
            else ("session", request._request.session.session_key or ""),
            channels=names,
            position=_position(request, names),
        )
        return HttpResponse(content_type="text/event-stream")


class LogStreamView(_StreamView):
    """Stream events of all channels."""

    @extend_schema(
        operation_id="stream_events",
        summary="Stream events",
        parameters=[
            OpenApiParameter(
                "channels",
                OpenApiTypes.STR,
                description="Up to 10 channels separated by commas: all (default), task-<id>, "
                "queue-<name>, worker-<id>. Channels of workers also require the permission "
                "`taskmaster_workers.view_worker`.",
            ),
            _LAST_ID,
        ],
        responses={(200, "text/event-stream"): _STREAM, **problems(400)},
    )
    def get(self, request: Request) -> HttpResponse:
        """Stream new events without an end. The stream closes when the session or token expires."""
        return self.grant(request, channels.parse(request.query_params.get("channels", "")))


class TaskStreamView(_StreamView):
    """Stream the events of one task."""

    @extend_schema(
        operation_id="stream_task_events",
        summary="Stream the events of one task",
        parameters=[_LAST_ID],
        responses={(200, "text/event-stream"): _STREAM, **problems(400, 404)},
    )
    def get(self, request: Request, task_id: str) -> HttpResponse:
        """Stream every event of the task. None is aggregated while the stream is open."""
        name = f"task-{parse_task_id(task_id)}"
        require(request.user, VIEW)
        if not Task.objects.filter(pk=parse_task_id(task_id)).exists():
            raise TaskNotFound(task_id)
        return self.grant(request, [name])


def _position(request: Request, names: list[str]) -> dict[str, int]:
    """Return the last received id of each channel. Raise InvalidField for an invalid id."""
    text = request.headers.get("Last-Event-ID") or request.query_params.get("lastEventId", "")
    found: dict[str, int] = {}
    # The stream itself sends the id "error" with an error event.
    for part in text.split(",") if text and text != "error" else ():
        channel, _, text_of_id = part.rpartition(":")
        last_id = parse_id(text_of_id)
        if not channel or last_id is None:
            raise InvalidField(
                "Last-Event-ID", "must be an id received from the stream, such as channel:id."
            )
        found[unquote(channel)] = last_id
    return {name: last_id for name, last_id in found.items() if name in names}
