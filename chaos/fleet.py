"""Run the processes of a chaos run: restart each one that ends and record unexpected exits."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos import ledger, roster
from chaos.hosts import Hosts
from chaos.leftovers import OPTIONS, ROOT, marked
from taskmaster.taskmaster_site.demo.process_group import web_command
from taskmaster.taskmaster_site.embedded_postgres.server import free_port

#: Time for a part to exit after SIGTERM: longer than a worker's own grace period.
STOP_S = 45.0
_RESTART_S = 1.0


@dataclass(slots=True)
class FleetPart:
    """Represent a part of the fleet by its role. Its process changes with each restart."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    #: Set by a fault that ends the part: the exit is expected, and the restart waits this long.
    pause_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid of the process while it runs."""
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process is not None else None

    def tree(self) -> list[psutil.Process]:
        """Return the process and all its descendants, parents first."""
        if self.pid is None:
            return []
        try:
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@dataclass(frozen=True, slots=True)
class UnexpectedExit:
    """Hold an exit without a fault, or a missing exit after a request."""

    name: str
    at: float
    how: str


@dataclass(slots=True)
class ChaosFleet:
    """Manage all parts. `run` keeps them alive until it is cancelled, `stop` ends them in order."""

    parts: dict[str, FleetPart]
    unexpected_exits: list[UnexpectedExit] = field(default_factory=list)
    starts: int = 0
    _closing: bool = False

    async def run(self) -> None:
        """Start all parts and restart each one that ends."""
        async with asyncio.TaskGroup() as group:
            for part in self.parts.values():
                group.create_task(self._keep(part), name=part.name)

    async def _keep(self, part: FleetPart) -> None:
        while not self._closing:
            await self._start(part)
            assert part.process is not None
            code = await part.process.wait()
            if part.pause_s is None and not self._closing:
                self.unexpected_exits.append(
                    UnexpectedExit(part.name, time.time(), _exit_reason(code))
                )
            await asyncio.sleep(_RESTART_S if part.pause_s is None else part.pause_s)
            part.pause_s = None

    async def _start(self, part: FleetPart) -> None:
        self.starts += 1
        with part.log.open("a") as log:
            part.process = await asyncio.create_subprocess_exec(
                *part.command,
                cwd=ROOT,
                env=part.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def end(
        self, part: FleetPart, number: signal.Signals, pause_s: float = _RESTART_S
    ) -> None:
        """Send a signal that ends the part and wait for it; kill a part that does not end."""
        process = part.process
        if process is None or process.returncode is not None:
            return
        part.pause_s = pause_s
        process.send_signal(number)
        await self.wait_gone(part, process, f"still running {STOP_S:.0f} s after {number.name}")

    async def wait_gone(
        self, part: FleetPart, process: asyncio.subprocess.Process, failure: str
    ) -> None:
        """Wait until a process has exited. If it does not exit, record that and kill it."""
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            self.unexpected_exits.append(UnexpectedExit(part.name, time.time(), failure))
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        """End all parts gracefully; workers first, so that a coordinator records it."""
        self._closing = True
        for names in (
            [each.name for each in roster.WORKERS],
            [each.name for each in roster.COORDINATORS],
            [roster.WEB],
        ):
            await asyncio.gather(*(self.end(self.parts[name], signal.SIGTERM) for name in names))

    async def abort(self) -> None:
        """Kill immediately all parts that still run."""
        self._closing = True
        for part in self.parts.values():
            if part.process is not None and part.process.returncode is None:
                part.process.kill()
                await part.process.wait()


def fleet(
    url: str, hosts: Hosts, ports: Mapping[str, int], folder: Path, environ: Mapping[str, str]
) -> ChaosFleet:
    """Return the parts of the roster. `ports` maps the coordinators and the web to their ports."""
    common = marked(**environ, DATABASE_URL=url, PYTHONUNBUFFERED="1")
    manage = [sys.executable, *OPTIONS, str(ROOT / "manage.py")]

    def part(name: str, command: Sequence[str], host: str = roster.HOME, **own: str) -> FleetPart:
        extra = {ledger.VARIABLE: str(folder / "ledger" / f"{name}.log"), **own}
        log = folder / "logs" / f"{name}.log"
        return FleetPart(name, hosts.inside(host, command), {**common, **extra}, log)

    python, *web = web_command(ports[roster.WEB])
    parts = [part(roster.WEB, [python, *OPTIONS, *web])]
    for each in roster.COORDINATORS:
        command = [*manage, "runcoordinator", "--port", str(ports[each.name])]
        parts.append(part(each.name, command, each.host))
    addresses = [f"127.0.0.1:{ports[each.name]}" for each in roster.COORDINATORS]
    for number, worker in enumerate(roster.WORKERS):
        # Each worker tries another coordinator first.
        first = number % len(addresses)
        known = ",".join(addresses[first:] + addresses[:first])
        options = ["--name", worker.name, "--coordinator", known]
        options += ["--executor", worker.executor, "--concurrency", str(worker.slots)]
        options += ["--queues", ",".join(worker.queues)]
        own = {"TASKMASTER_SHELL_TASKS": "on" if worker.shell else "off"}
        command = [*manage, "runworker", *options]
        parts.append(part(worker.name, command, worker.host, **own))
    return ChaosFleet({each.name: each for each in parts})


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Return a different free port for each name."""
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        port = free_port()
        if port not in ports.values():
            ports[names[len(ports)]] = port
    return ports


def _exit_reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
