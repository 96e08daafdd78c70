"""A WebSocket client on a bare socket, which reads only on request."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
DEADLINE_S = 20.0


class Closed(Exception):
    """The server has closed the connection with this code."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """An open WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> dict[str, Any]:
        """Return the next JSON frame. Raise Closed."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                kind, payload = await self._frame()
                if kind == _TEXT:
                    frame: dict[str, Any] = json.loads(payload)
                    return frame
                if kind == _CLOSE:
                    raise Closed(struct.unpack("!H", payload[:2])[0] if payload else None)
                if kind == _PING:
                    self._send(_PONG, payload)

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next frame of this type; acknowledge those before it."""
        while (frame := await self.receive())["type"] != kind:
            self.ack(frame)
        return frame

    def ack(self, frame: dict[str, Any]) -> None:
        """Acknowledge a frame of output."""
        if frame["type"] == "output":
            self.send({"type": "ack", "cursor": frame["cursor"]})

    def send(self, frame: object) -> None:
        """Send JSON."""
        self.send_text(json.dumps(frame))

    def send_text(self, text: str) -> None:
        """Send text unchanged."""
        self._send(_TEXT, text.encode())

    async def flood(self, text: str, count: int) -> int:
        """Send the text repeatedly while the server accepts it; return how often it did."""
        for number in range(count):
            self.send_text(text)
            try:
                async with asyncio.timeout(2.0):
                    await self._writer.drain()
            except (TimeoutError, ConnectionError):
                return number
        return count

    def _send(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([0x80 | kind])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65_536:
            head += bytes([0x80 | 126]) + struct.pack("!H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack("!Q", size)
        # A mask of zeros is valid.
        self._writer.write(head + b"\0\0\0\0" + payload)

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        return first & 0x0F, await self._reader.readexactly(size)


@asynccontextmanager
async def websocket(
    port: int, path: str, tls: ssl.SSLContext | None = None, **headers: str
) -> AsyncIterator[WebSocket]:
    """Open a connection; raise Closed(None) when the handshake is refused."""
    # Small buffers, so that unread frames wait in the server.
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536, ssl=tls)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.splitlines()[0]:
            raise Closed(None)
        yield WebSocket(reader, writer)
    finally:
        writer.transport.abort()
