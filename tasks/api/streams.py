"""The live streams: the views that decide who may read; the ASGI application streams."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import APIException
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from tasks.api.views import number, problems
from tasks.errors import InvalidField, TaskNotFound
from tasks.events import channels
from tasks.events.grant import SCOPE_KEY, Grant
from tasks.ids import as_id
from tasks.models import Task
from tasks.permissions import VIEW, require

_STREAM = OpenApiResponse(
    OpenApiTypes.STR,
    'Server-sent events. `event: events` carries `{"events": […]}`, each as in /api/events/; its '
    "`id:` is what to send as Last-Event-ID. `event: stream-reset` says that some events after "
    "that id are not kept any more. `event: keep-alive` comes every 20 seconds.",
)
_LAST_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`channel:id` pairs with commas between, as the stream gave them; the parameter "
    "`lastEventId` does the same. Without: the newest 250 events first.",
)


class NeedsAsgi(APIException):
    """The server that runs this cannot stream."""

    status_code = 501
    default_detail = "Streams need an ASGI server, like daphne taskmaster_site.asgi:application."


class EventStreamRenderer(BaseRenderer):
    """Lets a client ask for text/event-stream; an error is JSON all the same."""

    media_type = "text/event-stream"
    format = "sse"

    def render(self, data: Any, *args: object, **kwargs: object) -> bytes:
        """The error."""
        return json.dumps(data).encode()


class _StreamView(APIView):
    renderer_classes = [EventStreamRenderer, JSONRenderer]
    # Django answers HEAD by GET: it would wait for the end of a stream.
    http_method_names = ["get", "options"]

    def grant(self, request: Request, names: list[str]) -> HttpResponse:
        """Leaves the grant for the ASGI application. Raises NotAllowed, InvalidField, NeedsAsgi."""
        for permission in dict.fromkeys(
            each for name in names for each in channels.permissions(name)
        ):
            require(request.user, permission)
        scope = getattr(request._request, "scope", None)
        if scope is None or SCOPE_KEY not in scope:
            raise NeedsAsgi
        token = request.auth
        scope[SCOPE_KEY] = Grant(
            user=request.user,
            credential=("token", token.key)
            if isinstance(token, Token)
            else ("session", request._request.session.session_key or ""),
            channels=names,
            channel_last_ids=_last_ids(request, names),
        )
        return HttpResponse(content_type="text/event-stream")


class LogStreamView(_StreamView):
    """Everything that happens."""

    @extend_schema(
        operation_id="stream_events",
        summary="Stream events as they happen",
        parameters=[
            OpenApiParameter(
                "channels",
                OpenApiTypes.STR,
                description="all (default), task-<id>, queue-<name>, worker-<id>; up to 10 with "
                "commas between. Workers' channels need `workers.view_worker`.",
            ),
            _LAST_ID,
        ],
        responses={(200, "text/event-stream"): _STREAM, **problems(400)},
    )
    def get(self, request: Request) -> HttpResponse:
        """Without an end. The permission ends with the session or the token."""
        return self.grant(request, channels.parse(request.query_params.get("channels", "")))


class TaskStreamView(_StreamView):
    """What happens to one task."""

    @extend_schema(
        operation_id="stream_task_events",
        summary="Stream the events of one task as they happen",
        parameters=[_LAST_ID],
        responses={(200, "text/event-stream"): _STREAM, **problems(400, 404)},
    )
    def get(self, request: Request, task_id: str) -> HttpResponse:
        """None is folded into a count while somebody reads."""
        name = f"task-{number(task_id)}"
        require(request.user, VIEW)
        if not Task.objects.filter(pk=number(task_id)).exists():
            raise TaskNotFound(task_id)
        return self.grant(request, [name])


def _last_ids(request: Request, names: list[str]) -> dict[str, str]:
    """Where each channel begins. Raises InvalidField for what is no id of a stream."""
    text = request.headers.get("Last-Event-ID") or request.query_params.get("lastEventId", "")
    found: dict[str, str] = {}
    # The stream itself gives this one with an error.
    for part in text.split(",") if text and text != "error" else ():
        channel, _, last_id = part.rpartition(":")
        if not channel or as_id(last_id) is None:
            raise InvalidField("Last-Event-ID", "must be an id that the stream gave, channel:id.")
        found[unquote(channel)] = last_id
    return {name: last_id for name, last_id in found.items() if name in names}
