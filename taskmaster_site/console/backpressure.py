"""Limit how fast a WebSocket is read under Daphne.

Daphne queues every message without limits on number and size, so a client could exhaust its memory.
Other servers have limits of their own; under them this module does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

#: Maximum size of a message in bytes, in both directions. JSON encodes 64 KiB of control characters
#: in six times as many bytes.
_MESSAGE_MAX = 1_048_576
#: Reading pauses while more messages than this are queued.
_QUEUE_MAX = 64
#: How long the client may take to close the connection after a close frame, in seconds.
_CLOSE_S = 1.0

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class ConsoleBackpressure:
    """Receive the messages of one WebSocket with back-pressure."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        queue, protocol = getattr(receive, "__self__", None), getattr(send, "args", [None])[0]
        daphnes = isinstance(queue, asyncio.Queue) and hasattr(protocol, "maxMessagePayloadSize")
        self._queue: asyncio.Queue[Any] | None = queue if daphnes else None
        self._transport: Any = protocol.transport if daphnes else None
        self._paused = False
        self._stopped = False
        if daphnes:
            protocol.maxMessagePayloadSize = _MESSAGE_MAX

    async def receive(self) -> Any:
        """Return the next message; pause or resume reading by the length of the queue."""
        message = await self._receive()
        if self._queue is None or self._stopped:
            return message
        if not self._paused and self._queue.qsize() > _QUEUE_MAX:
            self._paused = True
            self._transport.pauseProducing()
        elif self._paused and self._queue.empty():
            self._paused = False
            self._transport.resumeProducing()
        return message

    def stop(self) -> None:
        """Stop reading, and abort the connection if the client does not close it in time."""
        if self._transport is not None:
            self._stopped = True
            self._transport.pauseProducing()
            asyncio.get_running_loop().call_later(_CLOSE_S, self._transport.abortConnection)
