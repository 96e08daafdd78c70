"""Does what the schedule says, and keeps what it did."""

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
from chaos.fleet import Fleet, Part
from chaos.hosts import Hosts
from chaos.schedule import Fault, Kind
from taskmaster_site.postgres import Cluster

_AGAIN_S = 1.0
_BACKENDS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that happened. Wall-clock times in seconds; `touched` names the parts it met."""

    kind: Kind
    target: str
    began: float
    ended: float
    touched: frozenset[str]
    note: str = ""


class Injector:
    """The hand that does it."""

    def __init__(
        self, fleet: Fleet, hosts: Hosts, cluster: Cluster, options: Sequence[str], url: str
    ) -> None:
        self._fleet = fleet
        self._hosts = hosts
        self._cluster = cluster
        self._options = options
        self._url = url
        self._postgres = asyncio.Lock()
        self.injected: list[Injected] = []
        #: What could not be done: whom it was to meet was not there.
        self.skipped: list[Fault] = []

    async def run(self, faults: Iterable[Fault]) -> None:
        """Injects each at its time; returns when the last one is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(began + fault.at_s - time.monotonic())
                group.create_task(self._inject(fault), name=fault.kind)

    async def _inject(self, fault: Fault) -> None:
        began = time.time()
        done = await self._ways[fault.kind](self, fault)
        if done is None:
            self.skipped.append(fault)
            return
        touched = roster.residents(fault.target) or frozenset({fault.target})
        self.injected.append(Injected(fault.kind, fault.target, began, time.time(), touched, done))

    # ---- processes; each returns a note, or None when there was nobody to meet ---------------

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

    async def _kill_launcher(self, fault: Fault) -> str | None:
        part = self._fleet.parts[fault.target]
        launcher = _launcher(part)
        if launcher is None or part.process is None:
            return None
        # The worker ends with it.
        part.pause_s = fault.lasts_s
        launcher.kill()
        await self._fleet.gone(part, part.process, "alive without its launcher")
        return f"pid {launcher.pid}"

    async def _kill_child(self, fault: Fault) -> str | None:
        launcher = _launcher(self._fleet.parts[fault.target])
        children = sorted(launcher.children(), key=lambda each: each.pid) if launcher else []
        if not children:
            return None
        child = children[int(fault.choice * len(children))]
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
        return f"pid {child.pid}"

    async def _freeze(self, fault: Fault) -> str | None:
        return await self._stand_still(fault, self._fleet.parts[fault.target].tree)

    async def _freeze_supervisor(self, fault: Fault) -> str | None:
        return await self._stand_still(fault, lambda: self._fleet.parts[fault.target].tree()[:1])

    async def _stand_still(
        self, fault: Fault, processes: Callable[[], list[psutil.Process]]
    ) -> str | None:
        frozen: list[psutil.Process] = []
        try:
            # Twice: what was being forked while the first ones were stopped.
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
        return f"away {after_s:.1f} s, up in {time.monotonic() - before:.1f} s"

    async def _terminate(self, fault: Fault) -> str | None:
        terminated, until = 0, time.monotonic() + fault.lasts_s
        async with self._postgres:
            while True:
                terminated += await asyncio.to_thread(self._terminate_once)
                if time.monotonic() + _AGAIN_S > until:
                    return f"{terminated} backends"
                await asyncio.sleep(_AGAIN_S)

    def _terminate_once(self) -> int:
        with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute(_BACKENDS).fetchone()
            return int(row[0]) if row else 0

    _ways: dict[Kind, Callable[[Injector, Fault], Awaitable[str | None]]] = {
        Kind.KILL_WORKER: _kill,
        Kind.KILL_LAUNCHER: _kill_launcher,
        Kind.KILL_CHILD: _kill_child,
        Kind.KILL_COORDINATOR: _kill,
        Kind.KILL_WEB: _kill,
        Kind.KILL_POSTGRES: _kill_postgres,
        Kind.RESTART_WORKER: _restart,
        Kind.RESTART_COORDINATOR: _restart,
        Kind.RESTART_POSTGRES: _restart_postgres,
        Kind.TERMINATE_BACKENDS: _terminate,
        Kind.FREEZE_WORKER: _freeze,
        Kind.FREEZE_WORKER_BRIEFLY: _freeze,
        Kind.FREEZE_SUPERVISOR: _freeze_supervisor,
        Kind.FREEZE_SUPERVISOR_BRIEFLY: _freeze_supervisor,
        Kind.FREEZE_COORDINATOR: _freeze,
        Kind.FREEZE_COORDINATOR_BRIEFLY: _freeze,
        Kind.CUT_WORKERS: _cut,
        Kind.CUT_WORKERS_BRIEFLY: _cut,
        Kind.CUT_COORDINATOR: _cut,
        Kind.CUT_COORDINATOR_BRIEFLY: _cut,
    }


def _launcher(part: Part) -> psutil.Process | None:
    for process in part.tree():
        with contextlib.suppress(psutil.Error):
            if "workers.daemon.launcher" in process.cmdline():
                return process
    return None


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
