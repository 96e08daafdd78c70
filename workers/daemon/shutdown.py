"""Stop a worker: finish its tasks or hand them back, then flush its reports."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from taskmaster.tasks.errors import TaskMasterError
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.connection.session import Session
from taskmaster.workers.daemon.scheduler import AttemptScheduler
from taskmaster.workers.daemon.slots import PythonSlots

log = logging.getLogger(__name__)

#: Time limit for each step after the grace or a second signal.
_STEP_S = 1.0


class ForkServerLost(TaskMasterError):
    """Raised when the fork server has died. Processes can no longer be started or stopped."""


class Shutdown:
    """Stop one worker in order. `immediate` is set by a second signal and ends each wait."""

    def __init__(
        self,
        worker: str,
        scheduler: AttemptScheduler,
        reports: ReportQueue,
        session: Session,
        immediate: asyncio.Event,
    ) -> None:
        self._worker = worker
        self._scheduler = scheduler
        self._reports = reports
        self._session = session
        self._immediate = immediate

    async def run(
        self,
        session: asyncio.Task[None],
        python: PythonSlots,
        grace_s: float,
        *,
        fork_server_lost: bool,
    ) -> int:
        """Stop the worker within the grace and return its exit code.

        `session` is the task that runs the session. Raises ForkServerLost.
        """
        # Reserve time for handing tasks back, so that the shutdown stays within the grace.
        deadline = _now() + max(0.0, grace_s - 2 * _STEP_S)
        scheduler = self._scheduler
        log.info(
            "worker stopping", extra={"worker": self._worker, "running": len(scheduler.running)}
        )
        scheduler.drain()
        self._session.report_draining()
        python.close()
        if fork_server_lost:
            # The children died with the fork server. Their ends are reported within moments.
            self._immediate.set()
            await _at_most(_STEP_S, scheduler.idle)
        await self._end_attempts(deadline)
        lost = await self._flush_reports(deadline)
        await self._session.leave(_STEP_S)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(session, _STEP_S)
        if fork_server_lost:
            raise ForkServerLost("The fork server and its child processes died; the worker exits.")
        log.info("worker stopped", extra={"worker": self._worker, "done": scheduler.done})
        return 1 if self._immediate.is_set() or lost else 0

    async def _end_attempts(self, deadline: float) -> None:
        """Wait for the running attempts. Hand back those that do not end in time."""
        scheduler = self._scheduler
        await self._until(deadline, scheduler.idle)
        if not scheduler.idle.is_set():
            log.warning("unfinished tasks handed back", extra={"tasks": len(scheduler.running)})
            scheduler.hand_back()
            await _at_most(_STEP_S, scheduler.idle)

    async def _flush_reports(self, deadline: float) -> int:
        """Wait for the acknowledgement of all reports. Return the number of lost ones."""
        reports = self._reports
        if self._immediate.is_set():
            await _at_most(_STEP_S, reports.all_acknowledged)
        else:
            await self._until(max(deadline, _now() + _STEP_S), reports.all_acknowledged)
        lost = reports.unacknowledged
        if lost:
            log.error(
                "unacknowledged reports lost, no coordinator answered", extra={"reports": lost}
            )
        return lost

    async def _until(self, deadline: float, event: asyncio.Event) -> None:
        """Wait for the event until the deadline or a second signal."""
        waits = [asyncio.create_task(each.wait()) for each in (event, self._immediate)]
        await asyncio.wait(
            waits, timeout=max(0.0, deadline - _now()), return_when=asyncio.FIRST_COMPLETED
        )
        for wait in waits:
            wait.cancel()


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
