"""Apply back-pressure to streams: wait for a slow client, then drop it.

ASGI defines no back-pressure. uvicorn's `send` waits until the client has read. Daphne's `send`
buffers without limit, but the Twisted request beneath it notifies a registered producer when its
buffer is full.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

#: A client that does not read for this long is dropped, in seconds.
SLOW_S = 10.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Backpressure:
    """Send to one client with back-pressure. Twisted calls it as a push producer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._writable = asyncio.Event()
        self._writable.set()
        protocol = send.args[0] if isinstance(send, functools.partial) and send.args else None
        #: The Twisted request under Daphne, None under other servers.
        self._request = protocol if hasattr(protocol, "registerProducer") else None
        # If the client has disconnected already, its request has no channel.
        if self._request is not None and self._request.channel is not None:
            self._request.registerProducer(self, True)

    async def send(self, message: dict[str, Any]) -> None:
        """Send as soon as the client's buffer has space. Raises TimeoutError after `SLOW_S`."""
        async with asyncio.timeout(SLOW_S):
            await self._writable.wait()
            await self._send(message)

    def drop(self) -> None:
        """Abort the connection and discard unread data."""
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abortConnection()

    def close(self) -> None:
        """Unregister from the request. Call this when nothing more will be sent."""
        if self._request is not None and self._request.channel is not None:
            self._request.unregisterProducer()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Pause sending, because the buffer is full."""
        self._writable.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Resume sending, because the buffer is empty."""
        self._writable.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Stop waiting, because the connection is closed."""
        self._writable.set()
