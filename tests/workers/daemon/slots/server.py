"""Act as a fork server without processes."""

from __future__ import annotations

import os
import socket

from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.slots.child import ChildConnection


class Server:
    """Act as a fork server without processes; keep the test's end of each connection."""

    pid = os.getpid()

    def __init__(self) -> None:
        self.children: list[ChildConnection] = []
        self.requests: list[tuple[str, int]] = []
        self.pids: dict[int, int] = {}
        self._ends: list[socket.socket] = []

    def fork(self, child: ChildConnection, kind: str, slots: int, end: int, *pipes: int) -> int:
        self.children.append(child)
        self._ends.append(socket.socket(fileno=end))
        for fd in pipes:
            os.close(fd)
        number = len(self.children)
        self.requests.append(("fork", number))
        self.pids[number] = os.getpid()
        return number

    def kill(self, number: int, grace_s: float) -> None:
        self.requests.append(("kill", number))

    def received(self, number: int) -> list[int]:
        """Return the ids of the attempts that a child received."""
        child = self.children[number - 1]
        requests = messages.child_requests().feed(b"".join(child._unsent))
        return [request.id for request in requests]
