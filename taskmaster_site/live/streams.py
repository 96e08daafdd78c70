"""Stream events to readers that a view has admitted; pass everything else to Django.

A view only checks access and returns, so an open stream holds neither a thread nor a database
connection. The stream is a coroutine that waits for django-eventstream's local listeners. Any view
can leave a grant, so this module depends on no URL and works under any prefix.

django-eventstream's own loop reads the storage that the project's settings name. This one reads
the event buffer, so that a project can use django-eventstream for its own channels.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from http import HTTPStatus
from typing import Any

from django.core.handlers.asgi import get_script_prefix
from django_eventstream.event import Event as Message
from django_eventstream.utils import make_id, sse_encode_event
from django_eventstream.views import Listener

from taskmaster.taskmaster_site.live.backpressure import Backpressure, Send
from taskmaster.taskmaster_site.live.link_monitor import LinkMonitor
from taskmaster.taskmaster_site.live.runtime import LiveRuntime, live
from taskmaster.tasks.api.errors import MEDIA_TYPE, MESSAGES, RETRY_AFTER, problem
from taskmaster.tasks.events.buffer import MessageSource, event_buffer, listeners
from taskmaster.tasks.events.channels import SCOPE_KEY, StreamGrant

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: How long a stream waits for the event buffer to be filled after the process started, in seconds.
_READY_S = 10.0
#: Starts with 2 KiB of padding, because some proxies buffer that much before they forward data.
_OPEN = f":{' ' * 2048}\n\nevent: stream-open\ndata:\n\n"
#: Short, because a page that receives nothing for 5 s reports that the server is away.
_KEEP_ALIVE_S = 2.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    # Stop nginx from buffering the stream.
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class StreamServer:
    """Serve event streams in front of Django."""

    def __init__(self, django: Application) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        granted = {**scope, SCOPE_KEY: None}
        client = _Client(receive)

        async def answer(message: dict[str, Any]) -> None:
            client.answered = _is_last(message)
            # If the view admitted a reader, the stream replaces its response.
            if granted[SCOPE_KEY] is None:
                await send(message)

        await self._django(granted, client.receive, answer)
        grant: StreamGrant | None = granted[SCOPE_KEY]
        if grant is not None:
            await _serve(grant, get_script_prefix(scope), client, send)


def _is_last(message: dict[str, Any]) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


class _Client:
    """Receive a client's messages and remember its disconnect for the stream that follows."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._disconnected = False
        #: Whether Django has sent its complete response.
        self.answered = False

    async def receive(self) -> dict[str, Any]:
        """Return the next message for Django."""
        message = await self._next()
        if self._disconnected and self.answered:
            # Django is about to cancel this call. If the server stopped now, Django would log the
            # disconnect as an exception that was never retrieved.
            await asyncio.Future()
        return message

    async def disconnected(self) -> None:
        """Return when the client has disconnected."""
        while not self._disconnected:
            await self._next()

    async def _next(self) -> dict[str, Any]:
        message = await self._receive()
        self._disconnected = self._disconnected or message["type"] == "http.disconnect"
        return message


async def _serve(grant: StreamGrant, prefix: str, client: _Client, send: Send) -> None:
    """Stream until the client disconnects, is too slow, or loses access."""
    service = live()
    if not await _is_ready(service):
        await _refuse(send)
        return
    service.dashboard.prefix = prefix or "/"
    pressure = Backpressure(send)
    streaming = asyncio.create_task(_stream(service, grant, pressure), name="stream")
    disconnect = asyncio.create_task(client.disconnected(), name="stream-disconnect")
    unregister = service.reauthorizer.register(grant, streaming.cancel)
    try:
        await asyncio.wait([streaming, disconnect], return_when=asyncio.FIRST_COMPLETED)
    finally:
        unregister()
        for task in (streaming, disconnect):
            task.cancel()
        ended = await asyncio.gather(streaming, disconnect, return_exceptions=True)
        pressure.close()
    if isinstance(ended[0], TimeoutError):
        pressure.drop()
    elif isinstance(ended[0], Exception):
        log.error("stream failed", exc_info=ended[0])
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _is_ready(service: LiveRuntime) -> bool:
    """Wait for the event buffer to be filled; return whether it is."""
    try:
        async with asyncio.timeout(_READY_S):
            await service.listener.ready.wait()
    except TimeoutError:
        return False
    return True


async def _refuse(send: Send) -> None:
    """Answer 503, because the database is unavailable."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    body = json.dumps(problem(status, MESSAGES[status])).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in RETRY_AFTER.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _stream(service: LiveRuntime, grant: StreamGrant, pressure: Backpressure) -> None:
    """Send the stream. Raises TimeoutError if the client does not read."""
    sources = service.dashboard.sources
    # The dashboard's versions are local to this process, so a new reader gets every fragment.
    position = {
        channel: 0
        if channel in sources
        else grant.position.get(channel, event_buffer.position(channel))
        for channel in grant.channels
    }
    await pressure.send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    async with AsyncExitStack() as stack:
        for channel in grant.channels:
            if channel.startswith("task-"):
                task_id = int(channel.removeprefix("task-"))
                await stack.enter_async_context(service.subscribers.subscribed(task_id))
        texts = _texts(position, sources, grant.user.pk, KeepAlive(service.links))
        async for text in await stack.enter_async_context(aclosing(texts)):
            if sources.keys() & position.keys():
                service.dashboard.wake()
            await pressure.send(
                {"type": "http.response.body", "body": text.encode(), "more_body": True}
            )


class KeepAlive:
    """Decide when one stream sends the state of the links."""

    def __init__(self, links: LinkMonitor) -> None:
        self._links = links
        self._version = -1
        self._due_at = 0.0

    @property
    def until_due_s(self) -> float:
        """Return the seconds until the next regular one."""
        return max(0.0, self._due_at - time.monotonic())

    def take(self) -> str | None:
        """Return the keep-alive if it is due or a link has changed."""
        if self._version == self._links.version and self.until_due_s > 0:
            return None
        self._version = self._links.version
        self._due_at = time.monotonic() + _KEEP_ALIVE_S
        return f"event: keep-alive\ndata: {self._links.text()}\n\n"


async def _texts(
    position: dict[str, int],
    sources: Mapping[str, MessageSource],
    user_id: object,
    keep_alive: KeepAlive,
) -> AsyncGenerator[str, None]:
    """Yield the text of a stream: stored messages after its position, then new ones.

    `position` maps each channel to the id after which it starts, and is updated. `sources` maps
    channels to functions; other channels read the event buffer.
    """
    listener = Listener()
    listener.user_id = user_id
    listener.channels = set(position)
    listener.assign_loop()
    listeners.add_listener(listener)
    try:
        yield _OPEN
        while True:
            # Messages queued from here on may also be in the source. `_queued` skips them by id.
            listener.overflow = False
            for channel in position:
                for text in _stored(channel, position, sources):
                    yield text
            while not listener.overflow:
                if await _is_woken(listener, keep_alive.until_due_s):
                    for text in _queued(listener, position):
                        yield text
                if due := keep_alive.take():
                    yield due
    finally:
        listeners.remove_listener(listener)


def _stored(
    channel: str, position: dict[str, int], sources: Mapping[str, MessageSource]
) -> list[str]:
    """Return the messages of the channel's source, and move the position past them."""
    source = sources.get(channel)
    last_id = position[channel]
    messages = source(last_id) if source else event_buffer.messages(channel, last_id)
    if messages is not None:
        return [_encoded(message, position) for message in messages]
    position[channel] = event_buffer.newest
    reset = {"channels": [channel]}
    return [sse_encode_event("stream-reset", reset, event_id=make_id(position), json_encode=True)]


async def _is_woken(listener: Listener, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await listener.aevent.wait()
    except TimeoutError:
        return False
    return True


def _queued(listener: Listener, position: dict[str, int]) -> list[str]:
    """Return the queued messages that have not been sent yet."""
    with listeners.lock:
        items, listener.channel_items = listener.channel_items, {}
        listener.aevent.clear()
    return [
        _encoded(message, position)
        for channel, messages in items.items()
        for message in messages
        if message.id > position[channel]
    ]


def _encoded(message: Message, position: dict[str, int]) -> str:
    position[message.channel] = message.id
    text: str = sse_encode_event(message.type, message.data, event_id=make_id(position))
    return text
