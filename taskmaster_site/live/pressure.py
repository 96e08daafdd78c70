"""Back-pressure: who does not read is waited for, and dropped in the end.

ASGI has none of its own. uvicorn waits in `send` until the client has read; daphne buffers without
end, but the Twisted request beneath it says when its buffer is full, to whoever registers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

#: A client that takes nothing for this long is dropped.
SLOW_S = 10.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Pressure:
    """The way to one client. Twisted calls the methods of a push producer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._writable = asyncio.Event()
        self._writable.set()
        protocol = send.args[0] if isinstance(send, functools.partial) and send.args else None
        #: Daphne's request, where it is daphne that serves.
        self._request = protocol if hasattr(protocol, "registerProducer") else None
        if self._request is not None:
            self._request.registerProducer(self, True)

    async def send(self, message: dict[str, Any]) -> None:
        """Sends when the client has read what was sent before. Raises TimeoutError."""
        async with asyncio.timeout(SLOW_S):
            await self._writable.wait()
            await self._send(message)

    def drop(self) -> None:
        """Ends the connection with what it has not read."""
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abortConnection()

    def close(self) -> None:
        """Nothing more will be sent."""
        if self._request is not None and self._request.channel is not None:
            self._request.unregisterProducer()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The buffer is full."""
        self._writable.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The buffer is empty."""
        self._writable.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        self._writable.set()
