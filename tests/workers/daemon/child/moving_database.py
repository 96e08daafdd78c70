"""Provide a PostgreSQL whose address stays while its server restarts, moves or vanishes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres

#: All that `User.objects.count()` needs.
_TABLE = "CREATE TABLE auth_user (id int)"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Forwarder:
    """Forward one local port to the current server, as a virtual address does."""

    target: int
    port: int = 0
    #: Sockets of clients and servers.
    _pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = field(default_factory=list)
    #: Clients whose server no longer knows their connection.
    _forgotten: set[asyncio.StreamWriter] = field(default_factory=set)

    async def connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Forward a new connection in both directions until one side closes it."""
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.close()
            return
        self._pairs.append((client, server))
        back = asyncio.create_task(self._copy(answers, client))
        await self._copy(reader, server, client)
        back.cancel()

    def forget(self) -> None:
        """Lose all connections without a message. Clients learn it from the answer to their data,
        as after the failover of a virtual address.
        """
        for client, server in self._pairs:
            self._forgotten.add(client)
            server.transport.abort()
        self._pairs.clear()

    def close(self) -> None:
        """Close all connections. From Python 3.12 on, a listener waits for them at its end."""
        for client, server in self._pairs:
            client.transport.abort()
            server.transport.abort()
        for client in self._forgotten:
            client.transport.abort()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if client in self._forgotten and client is not None:
                    connection: socket.socket = client.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    client.transport.abort()
                    return
                writer.write(data)
        if writer not in self._forgotten:
            writer.close()


@dataclass(slots=True)
class MovingDatabase:
    """Hold two servers with the same account, the second one with a row more, at one address."""

    forwarder: Forwarder
    first: EmbeddedPostgres
    second: EmbeddedPostgres
    url: str

    async def restart(self) -> None:
        """Stop the server and start it on the same port."""
        await asyncio.to_thread(self.first.stop)
        await asyncio.to_thread(self.first.start, ["fsync=off"])

    async def fail_over(self) -> None:
        """Stop the first server. The second one takes its address."""
        await asyncio.to_thread(self.first.stop)
        self.forwarder.target = _port(self.second)


@asynccontextmanager
async def moving_database(folder: Path) -> AsyncIterator[MovingDatabase]:
    """Start both servers."""
    first, second = (EmbeddedPostgres(folder / name) for name in ("first", "second"))
    try:
        url = await asyncio.to_thread(_start, first, second)
        forwarder = Forwarder(_port(first))
        async with await asyncio.start_server(forwarder.connect, "127.0.0.1", 0) as listener:
            forwarder.port = listener.sockets[0].getsockname()[1]
            own = url.replace(f":{forwarder.target}/", f":{forwarder.port}/")
            yield MovingDatabase(forwarder, first, second, own)
            forwarder.close()
    finally:
        await asyncio.to_thread(first.remove)
        await asyncio.to_thread(second.remove)


def _start(first: EmbeddedPostgres, second: EmbeddedPostgres) -> str:
    url = first.start(["fsync=off"])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE)
    with psycopg.connect(second.start(["fsync=off"]), autocommit=True) as connection:
        connection.execute(_TABLE)
        connection.execute("INSERT INTO auth_user VALUES (1)")
        password = urlsplit(url).password
        connection.execute(f"ALTER ROLE taskmaster PASSWORD '{password}'".encode())
    return url


def _port(server: EmbeddedPostgres) -> int:
    url = server.url()
    assert url is not None
    port = urlsplit(url).port
    assert port is not None
    return port
