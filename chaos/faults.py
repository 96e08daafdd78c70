"""Inject the scheduled faults and record what was done."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import psutil
import psycopg

from chaos import roster
from chaos.fleet import ChaosFleet, FleetPart
from chaos.hosts import Hosts
from chaos.schedule import Fault, FaultKind
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres

_REPEAT_S = 1.0
_TERMINATE_BACKENDS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """Hold an injected fault. Times are wall-clock seconds. `touched` names the affected parts."""

    kind: FaultKind
    target: str
    began: float
    ended: float
    touched: frozenset[str]
    note: str = ""


class FaultInjector:
    """Inject faults into processes, the network and PostgreSQL."""

    def __init__(
        self,
        fleet: ChaosFleet,
        hosts: Hosts,
        cluster: EmbeddedPostgres,
        options: Sequence[str],
        url: str,
    ) -> None:
        self._fleet = fleet
        self._hosts = hosts
        self._cluster = cluster
        self._options = options
        self._url = url
        self._postgres = asyncio.Lock()
        self.injected: list[InjectedFault] = []
        #: Faults that were not injected, because their target was not running.
        self.skipped: list[Fault] = []

    async def run(self, faults: Iterable[Fault]) -> None:
        """Inject each fault at its time. Return when the last one is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(began + fault.at_s - time.monotonic())
                group.create_task(self._inject(fault), name=fault.kind)

    async def _inject(self, fault: Fault) -> None:
        began = time.time()
        done = await self._methods[fault.kind](self, fault)
        if done is None:
            self.skipped.append(fault)
            return
        touched = roster.residents(fault.target) or frozenset({fault.target})
        self.injected.append(
            InjectedFault(fault.kind, fault.target, began, time.time(), touched, done)
        )

    # ---- processes; each returns a note, or None if the target was not running ---------------

    async def _kill(self, fault: Fault) -> str | None:
        part = self._fleet.parts[fault.target]
        if part.pid is None:
            return None
        await self._fleet.end(part, signal.SIGKILL, fault.lasts_s)
        return ""

    async def _restart(self, fault: Fault) -> str | None:
        part = self._fleet.parts[fault.target]
        if part.pid is None:
            return None
        before = time.monotonic()
        await self._fleet.end(part, signal.SIGTERM, fault.lasts_s)
        return f"ended after {time.monotonic() - before:.1f} s"

    async def _kill_fork_server(self, fault: Fault) -> str | None:
        part = self._fleet.parts[fault.target]
        fork_server = _fork_server(part)
        if fork_server is None or part.process is None:
            return None
        # The worker exits when its fork server dies.
        part.pause_s = fault.lasts_s
        fork_server.kill()
        await self._fleet.wait_gone(part, part.process, "still running without its fork server")
        return f"pid {fork_server.pid}"

    async def _kill_child(self, fault: Fault) -> str | None:
        fork_server = _fork_server(self._fleet.parts[fault.target])
        children = sorted(fork_server.children(), key=lambda each: each.pid) if fork_server else []
        if not children:
            return None
        child = children[int(fault.choice * len(children))]
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
        return f"pid {child.pid}"

    async def _freeze(self, fault: Fault) -> str | None:
        return await self._freeze_processes(fault, self._fleet.parts[fault.target].tree)

    async def _freeze_supervisor(self, fault: Fault) -> str | None:
        return await self._freeze_processes(
            fault, lambda: self._fleet.parts[fault.target].tree()[:1]
        )

    async def _freeze_processes(
        self, fault: Fault, processes: Callable[[], list[psutil.Process]]
    ) -> str | None:
        frozen: list[psutil.Process] = []
        try:
            # Twice, to catch processes that were being forked during the first pass.
            for _ in range(2):
                new = [each for each in processes() if each not in frozen]
                _signal(new, signal.SIGSTOP)
                frozen += new
            await asyncio.sleep(fault.lasts_s)
        finally:
            _signal(reversed(frozen), signal.SIGCONT)
        return f"{len(frozen)} processes for {fault.lasts_s:.1f} s" if frozen else None

    # ---- the network ------------------------------------------------------------------------

    async def _cut(self, fault: Fault) -> str | None:
        self._hosts.cut(fault.target)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            self._hosts.heal(fault.target)
        return f"for {fault.lasts_s:.1f} s"

    # ---- PostgreSQL -------------------------------------------------------------------------

    async def _restart_postgres(self, fault: Fault) -> str | None:
        async with self._postgres:
            await asyncio.to_thread(self._cluster.stop)
            return await self._start_postgres(fault.lasts_s)

    async def _kill_postgres(self, fault: Fault) -> str | None:
        async with self._postgres:
            pid = int((self._cluster.data / "postmaster.pid").read_text().split()[0])
            psutil.Process(pid).kill()
            return await self._start_postgres(fault.lasts_s)

    async def _start_postgres(self, after_s: float) -> str:
        await asyncio.sleep(after_s)
        before = time.monotonic()
        await asyncio.to_thread(self._cluster.start, self._options)
        return f"down for {after_s:.1f} s, started in {time.monotonic() - before:.1f} s"

    async def _terminate(self, fault: Fault) -> str | None:
        terminated, until = 0, time.monotonic() + fault.lasts_s
        async with self._postgres:
            while True:
                terminated += await asyncio.to_thread(self._terminate_once)
                if time.monotonic() + _REPEAT_S > until:
                    return f"{terminated} backends"
                await asyncio.sleep(_REPEAT_S)

    def _terminate_once(self) -> int:
        with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute(_TERMINATE_BACKENDS).fetchone()
            return int(row[0]) if row else 0

    _methods: dict[FaultKind, Callable[[FaultInjector, Fault], Awaitable[str | None]]] = {
        FaultKind.KILL_WORKER: _kill,
        FaultKind.KILL_FORK_SERVER: _kill_fork_server,
        FaultKind.KILL_CHILD: _kill_child,
        FaultKind.KILL_COORDINATOR: _kill,
        FaultKind.KILL_WEB: _kill,
        FaultKind.KILL_POSTGRES: _kill_postgres,
        FaultKind.RESTART_WORKER: _restart,
        FaultKind.RESTART_COORDINATOR: _restart,
        FaultKind.RESTART_POSTGRES: _restart_postgres,
        FaultKind.TERMINATE_BACKENDS: _terminate,
        FaultKind.FREEZE_WORKER: _freeze,
        FaultKind.FREEZE_WORKER_BRIEFLY: _freeze,
        FaultKind.FREEZE_SUPERVISOR: _freeze_supervisor,
        FaultKind.FREEZE_SUPERVISOR_BRIEFLY: _freeze_supervisor,
        FaultKind.FREEZE_COORDINATOR: _freeze,
        FaultKind.FREEZE_COORDINATOR_BRIEFLY: _freeze,
        FaultKind.CUT_WORKERS: _cut,
        FaultKind.CUT_WORKERS_BRIEFLY: _cut,
        FaultKind.CUT_COORDINATOR: _cut,
        FaultKind.CUT_COORDINATOR_BRIEFLY: _cut,
    }


def _fork_server(part: FleetPart) -> psutil.Process | None:
    for process in part.tree():
        with contextlib.suppress(psutil.Error):
            if "taskmaster.workers.daemon.fork_server.server" in process.cmdline():
                return process
    return None


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
