"""Send requests with file descriptors over a socket, from the event loop of the caller."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from taskmaster.workers.daemon import wire

_READ = 65_536


class RequestSocket:
    """Send requests without blocking, and pass on what arrives.

    `on_data` receives the bytes. It receives b"" once, when the other end is gone.
    """

    def __init__(self, connection: socket.socket, on_data: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._on_data = on_data
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self.closed = False
        connection.setblocking(False)
        self._loop.add_reader(connection, self.read_available)

    def send(self, request: tuple[Any, ...], fds: Sequence[int] = ()) -> None:
        """Queue a request. The descriptors are closed here once sent."""
        if self.closed:
            _close(fds)
            return
        self._outgoing.append((memoryview(wire.encode([request])), list(fds)))
        if len(self._outgoing) == 1:
            self._send()

    def close(self) -> None:
        """Close the socket, and the descriptors that are not sent yet."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            for _, fds in self._outgoing:
                _close(fds)
            self._outgoing.clear()
            self._connection.close()

    def read_available(self) -> None:
        """Read and pass on the bytes that are in the socket now."""
        while not self.closed:
            try:
                data = self._connection.recv(_READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
            self._on_data(data)
            if len(data) < _READ:
                return

    def _send(self) -> None:
        """Write as much as the socket accepts.

        The event loop calls this again when it accepts more.
        """
        while self._outgoing:
            data, fds = self._outgoing[0]
            try:
                # The descriptors are sent with the first byte of their message.
                if fds:
                    sent = socket.send_fds(self._connection, [data], fds)
                else:
                    sent = self._connection.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._connection, self._send)
                return
            except OSError:
                # The other end is gone. `read_available` handles that.
                sent = len(data)
            _close(fds)
            if sent < len(data):
                self._outgoing[0] = data[sent:], []
            else:
                self._outgoing.popleft()
        self._loop.remove_writer(self._connection)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
