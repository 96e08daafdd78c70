"""The child's way to the supervisor."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from typing import Any

from workers.daemon import wire


class Outbox:
    """Sends messages; those that can wait a moment travel together."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Sends what is posted, in a thread of its own."""
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def post(self, message: list[Any]) -> None:
        """Leaves a message to the sending thread."""
        self._waiting.put(message)

    def send(self, message: list[Any]) -> None:
        """Sends at once, behind what was posted: it has left when the process dies.

        Blocks while the supervisor is busy, so that nobody can print faster than it reads.
        """
        with self._lock:
            self._send([*self._posted(), message])

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            with self._lock:
                self._send([first, *self._posted()])

    def _posted(self) -> list[list[Any]]:
        messages = []
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self._waiting.get_nowait())
        return messages

    def _send(self, messages: list[list[Any]]) -> None:
        try:
            self._connection.sendall(wire.encode(messages))
        except OSError:
            # The supervisor is gone, or the task closed the socket: nobody hears this child.
            os._exit(1)
