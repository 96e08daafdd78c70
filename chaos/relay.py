"""Relay TCP connections into and out of a host that can be disconnected.

    python -m chaos.relay LISTEN=CONNECT …       (each HOST:PORT)

If the other side refuses, the relay closes the connection, as without a relay. If the other side is
unreachable, the relay retries while its client waits, like lost packets without an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sys
from collections.abc import Sequence

_RETRY_S = 0.25
_CHUNK = 65_536
#: Errors while the cable is down.
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT})


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection(host, port)
        except OSError as error:
            if error.errno not in _UNREACHABLE:
                raise
        await asyncio.sleep(_RETRY_S)


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    try:
        there_reader, there_writer = await _connect(host, port)
    except OSError:
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
    finally:
        for each in (writer, there_writer):
            each.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def run(routes: Sequence[str]) -> None:
    """Relay until cancelled."""
    # The event loop keeps only weak references to tasks, so keep strong ones.
    running: set[asyncio.Task[None] | None] = set()
    async with contextlib.AsyncExitStack() as stack:
        for route in routes:
            listen, _, connect = route.partition("=")
            there = _address(connect)

            async def serve(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                there: tuple[str, int] = there,
            ) -> None:
                running.add(asyncio.current_task())
                try:
                    with contextlib.suppress(asyncio.CancelledError):
                        await _relay(reader, writer, *there)
                finally:
                    running.discard(asyncio.current_task())

            await stack.enter_async_context(await asyncio.start_server(serve, *_address(listen)))
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(sys.argv[1:]))
