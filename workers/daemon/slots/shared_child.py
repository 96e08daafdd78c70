"""Run all Python tasks in one child (executors `thread` and `async`).

A coroutine is stopped by cancelling it. A thread cannot be stopped, and a coroutine may ignore the
cancellation. Such an attempt is given up: it is reported immediately, and the child retires. A
retired child gets no new attempts. A fresh child takes over the slots, and the old one is killed
when its other tasks have ended, so that a time-out does not end other tasks. A recycled child
retires in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt, Failed
from taskmaster.workers.daemon.fork_server.client import ForkServerClient
from taskmaster.workers.daemon.messages import (
    CancelTask,
    FromChild,
    PrintedText,
    ProcessEnd,
    RunTask,
    StateChanged,
)
from taskmaster.workers.daemon.slots import OnEnd, OnOutput
from taskmaster.workers.daemon.slots.child import ChildConnection, ending_of_exit, ending_of_report

log = logging.getLogger(__name__)

#: Time between SIGTERM and SIGKILL for a retired child.
_GRACE_S = 1.0
#: Delay before a child that died idle is replaced. It prevents a busy loop when children fail at
#: their start.
_REFORK_S = 1.0
#: Most bytes that are logged of output that belongs to no single task.
_UNASSIGNED_MAX = 500


class SharedSlots:
    """Manage the child that accepts attempts and the retired children."""

    def __init__(
        self,
        fork_server: ForkServerClient,
        executor: str,
        slots: int,
        on_end: OnEnd,
        on_output: OnOutput,
        max_tasks: int | None = None,
    ) -> None:
        self._fork_server = fork_server
        self._executor = executor
        self._slots = slots
        #: A child is recycled after it has started this number of tasks.
        self._max_tasks = max_tasks
        self._on_end = on_end
        self._on_output = on_output
        self._child_of: dict[int, ChildConnection] = {}
        self._queued: list[RunTask] = []
        self._closing = False
        self._child: ChildConnection | None = None

    def open(self) -> None:
        """Fork the child."""
        self._child = ChildConnection(
            self._fork_server,
            self._executor,
            self._slots,
            self._handle,
            self._child_exited,
            self._output,
        )

    def begin(self, attempt: Attempt) -> None:
        """Queue the attempt for the child. The next `flush` sends it."""
        if self._child is None or self._child.retired:
            self.flush()
            self.open()
        assert self._child is not None
        self._child.attempts[attempt.id] = attempt
        self._child_of[attempt.id] = self._child
        self._queued.append(attempt.run)
        self._child.begun += 1
        if self._child.begun == self._max_tasks:
            self.recycle(self._child)

    def flush(self) -> None:
        """Send the queued attempts."""
        if self._queued and self._child is not None:
            queued, self._queued = self._queued, []
            self._child.send(queued)

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Cancel a coroutine, and give it up after the grace.

        Give up any other attempt immediately.
        """
        child = self._child_of.get(attempt.id)
        if child is None:
            return
        if self._executor == "async" and grace_s > 0:
            child.send([CancelTask(attempt.id)])
            asyncio.get_running_loop().call_later(grace_s, self._give_up, attempt)
        else:
            self._give_up(attempt)

    def close(self) -> None:
        """Stop forking children."""
        self._closing = True

    @property
    def children(self) -> Iterable[ChildConnection]:
        """Return the child that accepts new attempts, if there is one."""
        return [] if self._child is None or self._child.retired else [self._child]

    def recycle(self, child: ChildConnection) -> None:
        """Replace a child.

        Another child takes over the slots now. The old one ends when its attempts have ended.
        """
        if child.retired or self._closing:
            return
        self._retire(child)
        self._kill_if_unused(child)

    def _retire(self, child: ChildConnection) -> None:
        """Give the child no new attempts, and fork the child that takes over its slots."""
        if child is not self._child or child.retired:
            return
        # The queued attempts are registered with this child, so it must receive them.
        self.flush()
        child.retired = True
        if not self._closing:
            self.open()

    def _give_up(self, attempt: Attempt) -> None:
        """Report an attempt that cannot be stopped as ended, and retire its child."""
        child = self._child_of.pop(attempt.id, None)
        if child is None:
            return
        del child.attempts[attempt.id]
        self._retire(child)
        self._kill_if_unused(child)
        self._on_end(
            attempt,
            Failed(pb.EXIT_CLASS_SIGNAL, "did not stop in time; its child process is replaced"),
        )

    @staticmethod
    def _kill_if_unused(child: ChildConnection) -> None:
        if child.retired and not child.attempts:
            child.kill(_GRACE_S)

    def _handle(self, child: ChildConnection, report: FromChild) -> None:
        if isinstance(report, StateChanged):
            log.warning(
                "child replaced: a task has changed the state that all its tasks share",
                extra={"child": child.id, "changed": report.what},
            )
            self.recycle(child)
            return
        attempt = child.attempts.get(report.id)
        if attempt is None:
            return
        if isinstance(report, PrintedText):
            self._on_output(attempt, report.stream, report.text)
            return
        del child.attempts[attempt.id], self._child_of[attempt.id]
        if child.retired:
            self._kill_if_unused(child)
        self._on_end(attempt, ending_of_report(report))

    def _child_exited(self, child: ChildConnection, end: ProcessEnd) -> None:
        attempts = list(child.attempts.values())
        child.attempts.clear()
        if child is self._child and not self._closing:
            log.warning(
                "child died",
                extra={
                    "child": child.id,
                    "end": ending_of_exit(end).message,
                    "tasks": len(attempts),
                },
            )
            if attempts:
                self.open()
            else:
                asyncio.get_running_loop().call_later(_REFORK_S, self._reopen, child)
        for attempt in attempts:
            del self._child_of[attempt.id]
            self._on_end(attempt, ending_of_exit(end))

    def _reopen(self, dead: ChildConnection) -> None:
        if self._child is dead and not self._closing:
            self.open()

    def _output(self, child: ChildConnection, stream: str, data: bytes) -> bool:
        """Handle bytes from the pipes, which were written without `sys.stdout`, as by C code.

        They are assigned to an attempt only if the child runs exactly one.
        """
        attempts = list(child.attempts.values())
        if len(attempts) == 1:
            return self._on_output(attempts[0], stream, data)
        text = data[:_UNASSIGNED_MAX].decode("utf-8", "replace").rstrip()
        log.info("output that belongs to no single task", extra={"child": child.id, "text": text})
        return False
