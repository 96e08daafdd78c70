"""Streams events to whoever a view has admitted; everything else is Django's.

A view decides and is done, so that an open stream holds neither a thread nor a connection to the
database: it is a coroutine that waits for the local listeners of django-eventstream.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from http import HTTPStatus
from typing import Any

from django_eventstream.views import Listener, stream

from taskmaster_site.live.pressure import Pressure, Send
from taskmaster_site.live.service import Live, live
from tasks.api.errors import MEDIA_TYPE, WORDS, problem
from tasks.events import ring
from tasks.events.channels import DASHBOARD, DASHBOARD_WORKERS
from tasks.events.grant import SCOPE_KEY, Grant

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_PATH = re.compile(r"/api/(logs/stream|tasks/\d+/events/)")
#: How long a stream waits for the ring to be read when the process has just begun.
_READY_S = 10.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    # nginx would gather what must go out at once.
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class Streams:
    """Stands before Django."""

    def __init__(self, django: Application) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if not _PATH.fullmatch(scope["path"]):
            await self._django(scope, receive, send)
            return
        asked = {**scope, SCOPE_KEY: None}

        async def say(message: dict[str, Any]) -> None:
            # The answer of a view that has admitted somebody is the stream.
            if asked[SCOPE_KEY] is None:
                await send(message)

        await self._django(asked, _once(receive), say)
        grant: Grant | None = asked[SCOPE_KEY]
        if grant is not None:
            await _serve(grant, receive, send)


def _once(receive: Receive) -> Receive:
    """The body; Django's wait for a disconnect must not swallow the one that the stream awaits."""
    over = False

    async def receive_body() -> dict[str, Any]:
        nonlocal over
        if over:
            await asyncio.Future()
        message = await receive()
        over = not message.get("more_body", False)
        return message

    return receive_body


async def _serve(grant: Grant, receive: Receive, send: Send) -> None:
    """Streams until the client goes, is too slow, or may not read any more."""
    service = live()
    if not await _is_ready(service):
        await _refuse(send)
        return
    pressure = Pressure(send)
    streaming = asyncio.create_task(_stream(service, grant, pressure), name="stream")
    leaving = asyncio.create_task(_gone(receive), name="stream-leaving")
    leave = service.guard.admit(grant, streaming.cancel)
    try:
        await asyncio.wait([streaming, leaving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        leave()
        for task in (streaming, leaving):
            task.cancel()
        ended = await asyncio.gather(streaming, leaving, return_exceptions=True)
        pressure.close()
    if isinstance(ended[0], TimeoutError):
        pressure.drop()
    elif isinstance(ended[0], Exception):
        log.error("stream failed", exc_info=ended[0])
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _is_ready(service: Live) -> bool:
    """Whether the ring has been read, which a process that has just begun waits for."""
    try:
        async with asyncio.timeout(_READY_S):
            await service.listener.ready.wait()
    except TimeoutError:
        return False
    return True


async def _refuse(send: Send) -> None:
    """503: the database does not answer."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    body = json.dumps(problem(status, WORDS[status])).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"2"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _stream(service: Live, grant: Grant, pressure: Pressure) -> None:
    """Raises TimeoutError when the client reads nothing."""
    for channel in grant.channels:
        # The dashboard's fragments are this process's own, so whoever comes gets all of them.
        start = "0" if channel in ring.others else str(ring.ring.start(channel))
        if channel in ring.others or channel not in grant.channel_last_ids:
            grant.channel_last_ids[channel] = start
    listener = Listener()
    listener.user_id = grant.user.pk
    listener.channels = set(grant.channels)
    await pressure.send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    async with AsyncExitStack() as stack:
        for channel in grant.channels:
            if channel.startswith("task-"):
                task_id = int(channel.removeprefix("task-"))
                await stack.enter_async_context(service.watchers.watching(task_id))
        messages = await stack.enter_async_context(aclosing(stream(grant, listener)))
        async for text in messages:
            if {DASHBOARD, DASHBOARD_WORKERS} & listener.channels:
                service.pusher.wanted()
            await pressure.send(
                {"type": "http.response.body", "body": text.encode(), "more_body": True}
            )


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
