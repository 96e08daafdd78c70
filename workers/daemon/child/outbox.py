"""Send reports from a child to the supervisor."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading

from taskmaster.workers.daemon import wire
from taskmaster.workers.daemon.messages import FromChild


class ChildOutbox:
    """Send reports. Reports that may wait for a moment are sent together."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._queued: queue.SimpleQueue[FromChild] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def is_own(self) -> bool:
        """Return whether this process is the child, and not one that a task has forked."""
        return os.getpid() == self._pid

    def start(self) -> None:
        """Start the thread that sends the posted reports."""
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def post(self, report: FromChild) -> None:
        """Queue a report for the sending thread."""
        self._queued.put(report)

    def send(self, report: FromChild) -> None:
        """Send a report immediately, after the posted ones.

        It has left the process when this returns, even if the process dies next. Blocks while the
        supervisor is busy, so that no task can print faster than the supervisor reads. Does nothing
        in a process that a task has forked.
        """
        if not self.is_own:
            return
        with self._lock:
            self._send([*self._posted(), report])

    def _run(self) -> None:
        while True:
            first = self._queued.get()
            with self._lock:
                self._send([first, *self._posted()])

    def _posted(self) -> list[FromChild]:
        reports = []
        with contextlib.suppress(queue.Empty):
            while True:
                reports.append(self._queued.get_nowait())
        return reports

    def _send(self, reports: list[FromChild]) -> None:
        try:
            self._connection.sendall(wire.encode(reports))
        except OSError:
            # The supervisor is gone, or a task closed the socket. No report can be sent, so exit.
            os._exit(1)
