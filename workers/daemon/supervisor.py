"""The supervisor: builds the parts, starts them, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from uuid import uuid4

from tasks.conf import Settings
from tasks.errors import TaskMasterError
from workers.daemon.executor import Executor
from workers.daemon.forkserver import ForkServer, LauncherProcess
from workers.daemon.gauge import Gauge
from workers.daemon.memory import MemoryWatch
from workers.daemon.options import Options
from workers.daemon.reports import Reports
from workers.daemon.session import Session
from workers.daemon.slots import PythonSlots
from workers.daemon.slots.process import ProcessSlots
from workers.daemon.slots.shared import SharedSlots
from workers.daemon.slots.shell import ShellSlots

log = logging.getLogger(__name__)

_FIGURES_S = 10.0
#: What a second signal leaves for handing back.
_HURRY_S = 1.0
_DRAIN_TICK_S = 0.1


class LauncherLost(TaskMasterError):
    """The fork server died: nothing can be started or stopped any more."""


class Supervisor:
    """One worker."""

    def __init__(
        self,
        options: Options,
        conf: Settings,
        launcher: LauncherProcess,
        control: socket.socket,
    ) -> None:
        worker_id = str(uuid4())
        self._options = options
        self._grace_s = conf.shutdown_grace_s
        #: Whether an operator wants it to drain; when it is empty then, it leaves.
        self._drained = asyncio.Event()
        self._signals = 0
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._lost = asyncio.Event()
        self.reports = Reports(worker_id)
        self.executor = Executor(options.slots, self.reports)
        self.reports.on_stale = self.executor.stale
        self.reports.on_confirmed = self.executor.confirmed
        self.server = ForkServer(launcher, control, options.name, self._launcher_lost)
        self.gauge = Gauge(lambda: [self.server.pid, *self.server.pids.values()])
        self.session = Session(
            options,
            worker_id,
            self.executor,
            self.reports,
            self.gauge,
            conf.reconnect_max_s,
            on_command=self._obey,
        )
        self.python: PythonSlots

    async def run(self) -> int:
        """Runs until a signal; the exit code.

        Raises ConfigurationError when task modules cannot be imported or a coordinator refuses
        the worker, LauncherLost when the fork server dies.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signal)
        try:
            await self._until_stopped(self.server.ready())
            if self._stop.is_set():
                return 0
            self._open_slots()
            return await self._work()
        finally:
            self.server.close()

    def _signal(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            self._hurry.set()

    def _obey(self, wanted: str) -> None:
        """Does what an operator wants, who may say it more than once."""
        match wanted:
            case "drain" | "undrain":
                self._drain(wanted == "drain")
            case "stop":
                self._stop.set()
            case "kill":
                # What it runs dies with its launcher, as after kill -9 by hand.
                os.kill(os.getpid(), signal.SIGKILL)

    def _drain(self, wanted: bool) -> None:
        """An operator wants the worker to take nothing new and leave when it is empty, or not."""
        if self._stop.is_set() or wanted == self._drained.is_set():
            return
        log.info("worker drains" if wanted else "worker takes tasks again")
        if wanted:
            self._drained.set()
            self.executor.drain()
        else:
            self._drained.clear()
            self.executor.undrain()
        self.session.say_draining()

    async def _leave_when_drained(self) -> None:
        """Ends the worker once it is drained and everything is acknowledged; until cancelled."""
        while True:
            await self._drained.wait()
            await self.executor.idle.wait()
            await self.reports.settled.wait()
            if self._drained.is_set() and self.executor.idle.is_set():
                self._stop.set()
                return
            await asyncio.sleep(_DRAIN_TICK_S)

    def _launcher_lost(self) -> None:
        self._lost.set()
        self._stop.set()

    async def _until_stopped(self, work: object) -> None:
        """Waits for `work`, or for a signal."""
        working = asyncio.ensure_future(work)  # type: ignore[call-overload]
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            for each in (working, stopping):
                each.cancel()

    def _open_slots(self) -> None:
        executor, options = self.executor, self._options
        ways = (executor.ended, executor.printed, options.max_tasks_per_child)
        if options.pool == "process":
            self.python = ProcessSlots(self.server, options.slots, *ways)
        else:
            self.python = SharedSlots(self.server, options.pool, options.slots, *ways)
        executor.use(self.python, ShellSlots(self.server, executor.ended, executor.printed))

    async def _work(self) -> int:
        session = asyncio.create_task(self.session.run(), name="session")
        others = [
            asyncio.create_task(part, name=name)
            for name, part in (
                ("reports", self.reports.run(self.session.send)),
                ("lag", self.gauge.lag.run()),
                ("figures", self._log_figures()),
                ("contact", self.session.contact.watch()),
            )
        ]
        leaving = asyncio.create_task(self._leave_when_drained(), name="leave")
        limit_mb = self._options.max_memory_per_child_mb
        if limit_mb is not None:
            watch = MemoryWatch(self.python, self.server, limit_mb)
            others.append(asyncio.create_task(watch.run(), name="memory"))
        try:
            stopping = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait(
                {session, stopping, *others}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopping}:
                task.result()
            return await self._shut_down(session)
        finally:
            others.append(leaving)
            for task in (session, *others):
                task.cancel()
            await asyncio.gather(session, *others, return_exceptions=True)

    # ---- the end ----------------------------------------------------------------------------

    async def _shut_down(self, session: asyncio.Task[None]) -> int:
        executor, reports = self.executor, self.reports
        # What is handed back then takes a moment, and the whole must not take longer.
        deadline = asyncio.get_running_loop().time() + max(0.0, self._grace_s - 2 * _HURRY_S)
        log.info(
            "worker stops", extra={"worker": self._options.name, "running": len(executor.running)}
        )
        executor.drain()
        self.session.say_draining()
        self.python.close()
        if self._lost.is_set():
            # What ran has died with it, and says so in a moment.
            self._hurry.set()
            await self._at_most(_HURRY_S, executor.idle)
        await self._within(deadline, executor.idle)
        if not executor.idle.is_set():
            log.warning("handed back", extra={"tasks": len(executor.running)})
            executor.hand_back()
            await self._at_most(_HURRY_S, executor.idle)
        if self._hurry.is_set():
            await self._at_most(_HURRY_S, reports.settled)
        else:
            await self._within(max(deadline, _now() + _HURRY_S), reports.settled)
        lost = reports.unacknowledged
        if lost:
            log.error("reports lost, no coordinator took them", extra={"reports": lost})
        self.session.leave()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(session, _HURRY_S)
        if self._lost.is_set():
            raise LauncherLost("The fork server died, and with it what ran; the worker stops.")
        log.info("worker stopped", extra={"worker": self._options.name, "done": executor.done})
        return 1 if self._hurry.is_set() or lost else 0

    async def _within(self, deadline: float, event: asyncio.Event) -> None:
        """Waits for the event until the deadline or a second signal."""
        waits = [asyncio.create_task(each.wait()) for each in (event, self._hurry)]
        await asyncio.wait(
            waits, timeout=max(0.0, deadline - _now()), return_when=asyncio.FIRST_COMPLETED
        )
        for wait in waits:
            wait.cancel()

    @staticmethod
    async def _at_most(seconds: float, event: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    async def _log_figures(self) -> None:
        while True:
            await asyncio.sleep(_FIGURES_S)
            log.info(
                "figures",
                extra={
                    "worker": self._options.name,
                    "waiting": self.executor.waiting,
                    "running": len(self.executor.running),
                    "unacknowledged": self.reports.unacknowledged,
                    "done": self.executor.done,
                    "rss_mb": self.gauge.rss_bytes() // 2**20,
                },
            )


def _now() -> float:
    return asyncio.get_running_loop().time()
