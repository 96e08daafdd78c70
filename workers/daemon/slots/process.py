"""Slots of the `process` pool: a child each, one task at a time.

A time-out, a cancellation or a crash ends exactly one task; the replacement is forked while the
old child is still dying. A child that is recycled has its replacement while it runs its last task.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Any

from workers.daemon.attempt import Attempt
from workers.daemon.forkserver import Exit, ForkServer, Refusal
from workers.daemon.slots import OnEnd, OnOutput
from workers.daemon.slots.child import Child, call, death, ending

log = logging.getLogger(__name__)

#: A child that dies idle is replaced after this time, so that a broken start is no busy loop.
_REFORK_S = 1.0
_STRAY_MAX = 500


class ProcessSlots:
    """N children."""

    def __init__(
        self,
        server: ForkServer,
        slots: int,
        on_end: OnEnd,
        on_output: OnOutput,
        max_tasks: int | None = None,
    ) -> None:
        self._server = server
        self._slots = slots
        #: A child is recycled when it has begun so many.
        self._max_tasks = max_tasks
        self._on_end = on_end
        self._on_output = on_output
        self._idle: deque[Child] = deque()
        self._busy: dict[int, Child] = {}
        self._closing = False

    def open(self) -> None:
        """Forks the children."""
        for _ in range(self._slots):
            self._fork()

    def begin(self, attempt: Attempt) -> None:
        """Hands the attempt to an idle child."""
        child = next((each for each in self._idle if not each.retired), None)
        if child is None:
            # Its slot is free, but its child has died and is not replaced yet.
            self._fork()
            child = self._idle[-1]
        self._idle.remove(child)
        child.attempts[attempt.id] = attempt
        self._busy[attempt.id] = child
        child.send([call(attempt)])
        child.begun += 1
        if child.begun == self._max_tasks:
            self.recycle(child)

    def flush(self) -> None:
        """Each attempt has been sent at once: they go to different children."""

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Kills the child's tree; SIGTERM raises `Stopped` in the task."""
        child = self._busy.get(attempt.id)
        if child is None:
            return
        if not child.retired:
            self._replace()
        child.kill(grace_s)

    def close(self) -> None:
        """Forks no more."""
        self._closing = True

    @property
    def children(self) -> Iterable[Child]:
        """Those that take new attempts, now or when they are free."""
        return [each for each in (*self._idle, *self._busy.values()) if not each.retired]

    def recycle(self, child: Child) -> None:
        """Another takes over the slot now; the child ends when its attempt is over."""
        if child.retired or self._closing:
            return
        child.retired = True
        if not child.attempts:
            self._idle.remove(child)
        self._refill()
        if not child.attempts:
            child.kill(0)

    def _fork(self) -> None:
        self._idle.append(
            Child(self._server, "process", 1, self._message, self._gone, self._output)
        )

    def _replace(self) -> None:
        if not self._closing and len(self._idle) + self._live_busy() - 1 < self._slots:
            self._fork()

    def _live_busy(self) -> int:
        return sum(not child.retired for child in self._busy.values())

    def _message(self, child: Child, message: list[Any]) -> None:
        attempt = child.attempts.get(message[1])
        if attempt is None:
            return
        if message[0] == "output":
            self._on_output(attempt, message[2], message[3])
            return
        child.drain()
        del child.attempts[attempt.id], self._busy[attempt.id]
        if child.retired:
            child.kill(0)
        else:
            self._idle.append(child)
        self._on_end(attempt, ending(message))

    def _gone(self, child: Child, how: Exit | Refusal) -> None:
        if child in self._idle:
            self._idle.remove(child)
            log.warning("idle child died", extra={"child": child.id, "how": death(how).message})
            asyncio.get_running_loop().call_later(_REFORK_S, self._refill)
        for attempt in list(child.attempts.values()):
            del self._busy[attempt.id]
            self._on_end(attempt, death(how))
        if child.attempts:
            child.attempts.clear()
            self._refill()

    def _refill(self) -> None:
        if not self._closing and len(self._idle) + self._live_busy() < self._slots:
            self._fork()

    def _output(self, child: Child, stream: str, data: bytes) -> bool:
        for attempt in child.attempts.values():
            return self._on_output(attempt, stream, data)
        text = data[:_STRAY_MAX].decode("utf-8", "replace").rstrip()
        log.info("output outside of tasks", extra={"child": child.id, "text": text})
        return False
