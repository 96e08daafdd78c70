"""Reads from a WebSocket no faster than what it says is taken in.

Daphne queues whatever comes, in messages of any size: a reader could fill its memory. Under another
server, which has limits of its own, nothing of this does anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

#: Of any message, either way: 64 KiB of control characters are six times as much in JSON.
_MESSAGE_MAX = 1_048_576
#: With more messages than these in the queue nothing is read.
_QUEUE_MAX = 64
#: After a close so long is waited for the client's own.
_CLOSE_S = 1.0

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Pace:
    """The way in of one WebSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        queue, protocol = getattr(receive, "__self__", None), getattr(send, "args", [None])[0]
        daphnes = isinstance(queue, asyncio.Queue) and hasattr(protocol, "maxMessagePayloadSize")
        self._queue: asyncio.Queue[Any] | None = queue if daphnes else None
        self._transport: Any = protocol.transport if daphnes else None
        self._paused = False
        self._shut = False
        if daphnes:
            protocol.maxMessagePayloadSize = _MESSAGE_MAX

    async def receive(self) -> Any:
        """The next message."""
        message = await self._receive()
        if self._queue is None or self._shut:
            return message
        if not self._paused and self._queue.qsize() > _QUEUE_MAX:
            self._paused = True
            self._transport.pauseProducing()
        elif self._paused and self._queue.empty():
            self._paused = False
            self._transport.resumeProducing()
        return message

    def shut(self) -> None:
        """It is closed: reads nothing more, and waits for nobody who does not close it, too."""
        if self._transport is not None:
            self._shut = True
            self._transport.pauseProducing()
            asyncio.get_running_loop().call_later(_CLOSE_S, self._transport.abortConnection)
