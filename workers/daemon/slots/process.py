"""Run each Python task in its own child (executor `process`).

A time-out, a cancellation or a crash ends exactly one task. The replacement is forked while the old
child is still dying. A recycled child is replaced while it runs its last task. A child whose task
left processes is replaced as well, because they end with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from taskmaster.workers.daemon.attempt import Attempt, Ending
from taskmaster.workers.daemon.fork_server.client import ForkServerClient
from taskmaster.workers.daemon.messages import FromChild, PrintedText, ProcessEnd, StateChanged
from taskmaster.workers.daemon.slots import OnEnd, OnOutput
from taskmaster.workers.daemon.slots.child import ChildConnection, ending_of_exit, ending_of_report

log = logging.getLogger(__name__)

#: Delay before a child that died idle is replaced. It prevents a busy loop when children fail at
#: their start.
_REFORK_S = 1.0
#: Most bytes that are logged of output outside of any task.
_UNASSIGNED_MAX = 500


class ProcessSlots:
    """Keep one child per slot."""

    def __init__(
        self,
        fork_server: ForkServerClient,
        slots: int,
        on_end: OnEnd,
        on_output: OnOutput,
        max_tasks: int | None = None,
    ) -> None:
        self._fork_server = fork_server
        self._slots = slots
        #: A child is recycled after it has started this number of tasks.
        self._max_tasks = max_tasks
        self._on_end = on_end
        self._on_output = on_output
        self._idle: deque[ChildConnection] = deque()
        self._busy: dict[int, ChildConnection] = {}
        #: Endings of the attempts whose child is being killed because they left processes.
        self._endings: dict[int, Ending] = {}
        self._closing = False

    def open(self) -> None:
        """Fork one child per slot."""
        for _ in range(self._slots):
            self._fork()

    def begin(self, attempt: Attempt) -> None:
        """Hand the attempt to an idle child."""
        child = next((each for each in self._idle if not each.retired), None)
        if child is None:
            # The slot is free, but its child has died and is not replaced yet.
            self._fork()
            child = self._idle[-1]
        self._idle.remove(child)
        child.attempts[attempt.id] = attempt
        self._busy[attempt.id] = child
        child.send([attempt.run])
        child.begun += 1
        if child.begun == self._max_tasks:
            self.recycle(child)

    def flush(self) -> None:
        """Do nothing: `begin` sends each attempt immediately, since each goes to another child."""

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Kill the child and its descendants. SIGTERM raises `Stopped` in the task first."""
        child = self._busy.get(attempt.id)
        if child is None:
            return
        if not child.retired:
            self._replace()
        child.kill(grace_s)

    def close(self) -> None:
        """Stop forking children."""
        self._closing = True

    @property
    def children(self) -> Iterable[ChildConnection]:
        """Return the children that accept new attempts, now or when they are free."""
        return [each for each in (*self._idle, *self._busy.values()) if not each.retired]

    def recycle(self, child: ChildConnection) -> None:
        """Replace a child.

        Another child takes over the slot now. The old one ends when its attempt has ended.
        """
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
            ChildConnection(
                self._fork_server, "process", 1, self._handle, self._child_exited, self._output
            )
        )

    def _replace(self) -> None:
        """Fork a replacement for a busy child that is about to be killed and still counts."""
        if not self._closing and len(self._idle) + self._live_busy() - 1 < self._slots:
            self._fork()

    def _live_busy(self) -> int:
        return sum(not child.retired for child in self._busy.values())

    def _handle(self, child: ChildConnection, report: FromChild) -> None:
        if isinstance(report, StateChanged):
            # Only children that several attempts share send it.
            return
        attempt = child.attempts.get(report.id)
        if attempt is None:
            return
        if isinstance(report, PrintedText):
            self._on_output(attempt, report.stream, report.text)
            return
        if report.has_leftovers:
            # The attempt ends when its processes have ended. They end with the child.
            self._endings[attempt.id] = ending_of_report(report)
            self.recycle(child)
            child.kill(0)
            return
        child.read_available()
        del child.attempts[attempt.id], self._busy[attempt.id]
        if child.retired:
            child.kill(0)
        else:
            self._idle.append(child)
        self._on_end(attempt, ending_of_report(report))

    def _child_exited(self, child: ChildConnection, end: ProcessEnd) -> None:
        if child in self._idle:
            self._idle.remove(child)
            log.warning(
                "idle child died", extra={"child": child.id, "end": ending_of_exit(end).message}
            )
            asyncio.get_running_loop().call_later(_REFORK_S, self._refill)
        for attempt in list(child.attempts.values()):
            del self._busy[attempt.id]
            ending = self._endings.pop(attempt.id, None) or ending_of_exit(end)
            self._on_end(attempt, ending)
        if child.attempts:
            child.attempts.clear()
            self._refill()

    def _refill(self) -> None:
        """Fork a child if there are fewer than slots."""
        if not self._closing and len(self._idle) + self._live_busy() < self._slots:
            self._fork()

    def _output(self, child: ChildConnection, stream: str, data: bytes) -> bool:
        for attempt in child.attempts.values():
            return self._on_output(attempt, stream, data)
        text = data[:_UNASSIGNED_MAX].decode("utf-8", "replace").rstrip()
        log.info("output outside of any task", extra={"child": child.id, "text": text})
        return False
