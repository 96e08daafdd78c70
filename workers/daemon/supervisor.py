"""Build the parts of a worker, start them and stop them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from uuid import uuid4

from taskmaster.tasks.conf import Settings
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.connection.session import Session
from taskmaster.workers.daemon.fork_server.client import ForkServerClient, ForkServerProcess
from taskmaster.workers.daemon.options import WorkerOptions
from taskmaster.workers.daemon.resources.memory_limit import MemoryWatch
from taskmaster.workers.daemon.resources.usage import UsageMeter
from taskmaster.workers.daemon.scheduler import AttemptScheduler
from taskmaster.workers.daemon.shutdown import Shutdown
from taskmaster.workers.daemon.slots import PythonSlots
from taskmaster.workers.daemon.slots.process import ProcessSlots
from taskmaster.workers.daemon.slots.shared_child import SharedSlots
from taskmaster.workers.daemon.slots.shell import ShellSlots

log = logging.getLogger(__name__)

#: Seconds between two log lines with the figures.
_FIGURES_S = 10.0
#: Pause before the drained state is checked again.
_DRAIN_CHECK_S = 0.1


class Supervisor:
    """Run one worker from its start to its shutdown."""

    def __init__(
        self,
        options: WorkerOptions,
        conf: Settings,
        fork_server: ForkServerProcess,
        control: socket.socket,
    ) -> None:
        worker_id = str(uuid4())
        self._options = options
        self._grace_s = conf.shutdown_grace_s
        #: Set while an operator wants the worker to drain. A drained worker exits when it is idle.
        self._draining = asyncio.Event()
        self._signals = 0
        #: Set when the worker must stop: by a signal, a command, or the end of its drain.
        self._stop = asyncio.Event()
        #: Set by a second signal. The shutdown then waits for nothing more.
        self._immediate = asyncio.Event()
        #: Set when the fork server has died.
        self._lost = asyncio.Event()
        self.reports = ReportQueue(worker_id)
        self.scheduler = AttemptScheduler(options.slots, self.reports)
        # The scheduler needs the reports and they need the scheduler, so one gets the other later.
        self.reports.on_stale = self.scheduler.stop_stale
        self.reports.on_confirmed = self.scheduler.start_confirmed
        self.fork_server = ForkServerClient(
            fork_server, control, options.name, self._fork_server_lost
        )
        self.usage_meter = UsageMeter(self.fork_server.measured)
        self.session = Session(
            options,
            worker_id,
            self.scheduler,
            self.reports,
            self.usage_meter,
            conf.reconnect_max_s,
            on_command=self._execute_command,
        )
        #: The slots of Python tasks. They are opened when the fork server is ready.
        self.python_slots: PythonSlots

    async def run(self) -> int:
        """Run until a signal arrives and return the exit code.

        Raises ConfigurationError when task modules cannot be imported or a coordinator refuses the
        worker. Raises ForkServerLost when the fork server dies.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signal)
        try:
            await self._until_stopped(self.fork_server.ready())
            if self._stop.is_set():
                return 0
            self._open_slots()
            return await self._work()
        finally:
            self.fork_server.close()

    def _signal(self) -> None:
        """Stop the worker after the first signal, and immediately after the second."""
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            self._immediate.set()

    def _execute_command(self, command: str) -> None:
        """Execute an operator's command. A command may arrive more than once."""
        match command:
            case "drain" | "undrain":
                self._set_draining(command == "drain")
            case "stop":
                self._stop.set()
            case "kill":
                # The fork server kills the children when this process dies, as after `kill -9`.
                os.kill(os.getpid(), signal.SIGKILL)

    def _set_draining(self, draining: bool) -> None:
        """Start or end draining.

        A draining worker accepts no new tasks and exits when it is idle.
        """
        if self._stop.is_set() or draining == self._draining.is_set():
            return
        log.info("worker draining" if draining else "worker accepting tasks again")
        if draining:
            self._draining.set()
            self.scheduler.drain()
        else:
            self._draining.clear()
            self.scheduler.undrain()
        self.session.report_draining()

    async def _stop_when_drained(self) -> None:
        """Stop the worker when it is drained, idle and all its reports are acknowledged."""
        while True:
            await self._draining.wait()
            await self.scheduler.idle.wait()
            await self.reports.all_acknowledged.wait()
            if self._draining.is_set() and self.scheduler.idle.is_set():
                self._stop.set()
                return
            await asyncio.sleep(_DRAIN_CHECK_S)

    def _fork_server_lost(self) -> None:
        self._lost.set()
        self._stop.set()

    async def _until_stopped(self, work: object) -> None:
        """Wait until `work` is done or the worker must stop."""
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
        """Build the slots of the worker's executor and those of shell commands, and open them."""
        scheduler, options = self.scheduler, self._options
        common = (scheduler.ended, scheduler.add_output, options.max_tasks_per_child)
        if options.executor == "process":
            self.python_slots = ProcessSlots(self.fork_server, options.slots, *common)
        else:
            self.python_slots = SharedSlots(
                self.fork_server, options.executor, options.slots, *common
            )
        scheduler.open_slots(
            self.python_slots,
            ShellSlots(self.fork_server, scheduler.ended, scheduler.add_output),
            self.fork_server.names,
        )

    async def _work(self) -> int:
        """Run the parts until the worker must stop or a part fails, then shut down.

        Return the exit code. Raises the error of a part.
        """
        session = asyncio.create_task(self.session.run(), name="session")
        others = [
            asyncio.create_task(part, name=name)
            for name, part in (
                ("reports", self.reports.run(self.session.send)),
                ("loop lag", self.usage_meter.loop_lag.run()),
                ("figures", self._log_figures()),
                ("contact deadline", self.session.contact_deadline.watch()),
            )
        ]
        stop_when_drained = asyncio.create_task(self._stop_when_drained(), name="stop when drained")
        limit_mb = self._options.max_memory_per_child_mb
        if limit_mb is not None:
            watch = MemoryWatch(self.python_slots, self.fork_server, limit_mb)
            others.append(asyncio.create_task(watch.run(), name="memory"))
        try:
            stopping = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait(
                {session, stopping, *others}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopping}:
                task.result()
            shutdown = Shutdown(
                self._options.name, self.scheduler, self.reports, self.session, self._immediate
            )
            return await shutdown.run(
                session, self.python_slots, self._grace_s, fork_server_lost=self._lost.is_set()
            )
        finally:
            others.append(stop_when_drained)
            for task in (session, *others):
                task.cancel()
            await asyncio.gather(session, *others, return_exceptions=True)

    async def _log_figures(self) -> None:
        while True:
            await asyncio.sleep(_FIGURES_S)
            log.info(
                "figures",
                extra={
                    "worker": self._options.name,
                    "waiting": self.scheduler.waiting,
                    "running": len(self.scheduler.running),
                    "unacknowledged": self.reports.unacknowledged,
                    "done": self.scheduler.done,
                    "memory_mb": self.usage_meter.memory_bytes() // 2**20,
                },
            )
