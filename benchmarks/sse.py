"""Read the live stream with asyncio only."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any, NamedTuple


class Message(NamedTuple):
    """Hold one server-sent event. A missing `id` or `data` is empty."""

    event: str
    data: str
    id: str

    def json(self) -> Any:
        """Return the decoded data."""
        return json.loads(self.data)


class Refused(Exception):
    """Report that the server did not open the stream."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Stream:
    """Read an open stream. `open` raises Refused if the server does not open it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._messages = self._read()

    @classmethod
    async def open(
        cls, port: int, path: str, headers: dict[str, str], tls: ssl.SSLContext | None = None
    ) -> Stream:
        """Connect to 127.0.0.1 and wait for the response's header."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24, ssl=tls)
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        if status != 200:
            length = next(
                int(line.split(":")[1])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length:")
            )
            body = (await reader.readexactly(length)).decode()
            writer.close()
            raise Refused(status, body)
        return cls(reader, writer)

    def __aiter__(self) -> AsyncIterator[Message]:
        """Yield messages until the server ends the stream."""
        return self._messages

    async def _read(self) -> AsyncIterator[Message]:
        buffer = ""
        while chunk := await self._chunk():
            buffer += chunk.decode()
            *blocks, buffer = buffer.split("\n\n")
            for block in blocks:
                if message := _parse(block):
                    yield message

    async def next(self, event: str) -> Message:
        """Return the next message of this kind. Raise EOFError at the end."""
        async for message in self:
            if message.event == event:
                return message
        raise EOFError(event)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def _chunk(self) -> bytes:
        """Return one chunk of the chunked body; empty bytes at its end."""
        try:
            size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
            return (await self._reader.readexactly(size + 2))[:-2] if size else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


def _parse(block: str) -> Message | None:
    fields: dict[str, list[str]] = {"event": [], "data": [], "id": []}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        if name.rstrip(":") in fields:
            fields[name.rstrip(":")].append(value)
    if not fields["event"]:
        return None
    return Message(fields["event"][-1], "\n".join(fields["data"]), "".join(fields["id"][-1:]))
