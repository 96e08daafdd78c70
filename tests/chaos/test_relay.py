"""Test the relay in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from chaos import relay
from tests.system.fleet import free_port


async def wait_listening(port: int) -> None:
    """Wait until the port accepts connections."""
    async with asyncio.timeout(10):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def relaying(to: int) -> AsyncIterator[int]:
    """Relay to a port; yield the relay's own port."""
    port = free_port()
    running = asyncio.create_task(relay.run([f"127.0.0.1:{port}=127.0.0.1:{to}"]))
    try:
        await wait_listening(port)
        yield port
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """Serve an echo; yield its port."""
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_bytes_pass_both_ways_and_end_of_stream_is_forwarded() -> None:
    async with echoing() as there, relaying(there) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == b"x" * 1_000_000
        writer.close()


async def test_a_refused_connection_is_closed() -> None:
    async with relaying(free_port()) as port:
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(15):
                assert await reader.read() == b""


async def test_retries_while_the_other_side_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = asyncio.open_connection, []

    async def unreachable_at_first(
        host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tries.append(port)
        if len(tries) < 3:
            raise OSError(113, "No route to host")
        return await real(host, port)

    monkeypatch.setattr(relay, "_RETRY_S", 0.01)
    async with echoing() as there, relaying(there) as port:
        monkeypatch.setattr(asyncio, "open_connection", unreachable_at_first)
        reader, writer = await real("127.0.0.1", port)
        writer.write(b"still here")
        writer.write_eof()
        assert await reader.read() == b"still here"
        writer.close()
    assert len(tries) == 3
