"""Slots of the `threads` and `async` pools: all in one child.

A coroutine is cancelled. What cannot be stopped in its child (a thread, or a coroutine that does
not heed it) is given up: it is reported at once, and the child retires. It gets nothing new, a
fresh child takes over the slots, and the old one is killed when its other tasks have ended, so
that a time-out never takes a neighbour with it. A child that is recycled retires in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from proto import taskmaster_pb2 as pb
from workers.daemon.attempt import Attempt, Broken
from workers.daemon.forkserver import Exit, ForkServer, Refusal
from workers.daemon.slots import OnEnd, OnOutput
from workers.daemon.slots.child import Child, call, death, ending

log = logging.getLogger(__name__)

#: The soft signal for a retired child.
_GRACE_S = 1.0
_REFORK_S = 1.0
_STRAY_MAX = 500


class SharedSlots:
    """One child that takes new attempts, and those that have retired."""

    def __init__(
        self,
        server: ForkServer,
        kind: str,
        slots: int,
        on_end: OnEnd,
        on_output: OnOutput,
        max_tasks: int | None = None,
    ) -> None:
        self._server = server
        self._kind = kind
        self._slots = slots
        #: A child is recycled when it has begun so many.
        self._max_tasks = max_tasks
        self._on_end = on_end
        self._on_output = on_output
        self._child_of: dict[int, Child] = {}
        self._gathered: list[list[Any]] = []
        self._closing = False
        self._child: Child | None = None

    def open(self) -> None:
        """Forks the child."""
        self._child = Child(
            self._server, self._kind, self._slots, self._message, self._gone, self._output
        )

    def begin(self, attempt: Attempt) -> None:
        """Hands the attempt to the child, with the next `flush`."""
        if self._child is None or self._child.retired:
            self.flush()
            self.open()
        assert self._child is not None
        self._child.attempts[attempt.id] = attempt
        self._child_of[attempt.id] = self._child
        self._gathered.append(call(attempt))
        self._child.begun += 1
        if self._child.begun == self._max_tasks:
            self.recycle(self._child)

    def flush(self) -> None:
        """Sends what is gathered."""
        if self._gathered and self._child is not None:
            gathered, self._gathered = self._gathered, []
            self._child.send(gathered)

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Cancels a coroutine; gives up what does not end by that."""
        child = self._child_of.get(attempt.id)
        if child is None:
            return
        if self._kind == "async" and grace_s > 0:
            child.send([["cancel", attempt.id]])
            asyncio.get_running_loop().call_later(grace_s, self._give_up, attempt)
        else:
            self._give_up(attempt)

    def close(self) -> None:
        """Forks no more."""
        self._closing = True

    @property
    def children(self) -> Iterable[Child]:
        """The one that takes new attempts."""
        return [] if self._child is None or self._child.retired else [self._child]

    def recycle(self, child: Child) -> None:
        """Another takes over the slots now; the child ends when its attempts are over."""
        if child.retired or self._closing:
            return
        self._retire(child)
        self._end_of_retirement(child)

    def _retire(self, child: Child) -> None:
        if child is not self._child or child.retired:
            return
        # What is gathered was promised to this child.
        self.flush()
        child.retired = True
        if not self._closing:
            self.open()

    def _give_up(self, attempt: Attempt) -> None:
        child = self._child_of.pop(attempt.id, None)
        if child is None:
            return
        del child.attempts[attempt.id]
        self._retire(child)
        self._end_of_retirement(child)
        self._on_end(attempt, Broken(pb.EXIT_CLASS_SIGNAL, "given up"))

    @staticmethod
    def _end_of_retirement(child: Child) -> None:
        if child.retired and not child.attempts:
            child.kill(_GRACE_S)

    def _message(self, child: Child, message: list[Any]) -> None:
        attempt = child.attempts.get(message[1])
        if attempt is None:
            return
        if message[0] == "output":
            self._on_output(attempt, message[2], message[3])
            return
        del child.attempts[attempt.id], self._child_of[attempt.id]
        if child.retired:
            self._end_of_retirement(child)
        self._on_end(attempt, ending(message))

    def _gone(self, child: Child, how: Exit | Refusal) -> None:
        attempts = list(child.attempts.values())
        child.attempts.clear()
        if child is self._child and not self._closing:
            log.warning(
                "child died",
                extra={"child": child.id, "how": death(how).message, "tasks": len(attempts)},
            )
            if attempts:
                self.open()
            else:
                asyncio.get_running_loop().call_later(_REFORK_S, self._reopen, child)
        for attempt in attempts:
            del self._child_of[attempt.id]
            self._on_end(attempt, death(how))

    def _reopen(self, dead: Child) -> None:
        if self._child is dead and not self._closing:
            self.open()

    def _output(self, child: Child, stream: str, data: bytes) -> bool:
        """What comes out of the pipes was written past `sys.stdout`, by a C library perhaps."""
        attempts = list(child.attempts.values())
        if len(attempts) == 1:
            return self._on_output(attempts[0], stream, data)
        text = data[:_STRAY_MAX].decode("utf-8", "replace").rstrip()
        log.info("output of no single task", extra={"child": child.id, "text": text})
        return False
