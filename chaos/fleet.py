"""The processes of a run: each is started again when it ends, and says when nobody ended it."""

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
from chaos.leftovers import ROOT, marked
from taskmaster_site.postgres import free_port

#: How long a part may take to end after SIGTERM: a worker's own grace and more.
STOP_S = 45.0
_RESTART_S = 1.0


@dataclass(slots=True)
class Part:
    """One process by its role; the process itself changes."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    #: A fault ends it: its end is no news, and it is started again after this time.
    pause_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process is not None else None

    def tree(self) -> list[psutil.Process]:
        """The process and all below it; the parents first."""
        if self.pid is None:
            return []
        try:
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@dataclass(frozen=True, slots=True)
class Death:
    """A part ended that nobody had ended, or did not end when told to."""

    name: str
    at: float
    how: str


@dataclass(slots=True)
class Fleet:
    """All parts. `run` keeps them alive until it is cancelled; `stop` ends them in order."""

    parts: dict[str, Part]
    deaths: list[Death] = field(default_factory=list)
    starts: int = 0
    _closing: bool = False

    async def run(self) -> None:
        """Starts all, and again what ends."""
        async with asyncio.TaskGroup() as group:
            for part in self.parts.values():
                group.create_task(self._keep(part), name=part.name)

    async def _keep(self, part: Part) -> None:
        while not self._closing:
            await self._start(part)
            assert part.process is not None
            code = await part.process.wait()
            if part.pause_s is None and not self._closing:
                self.deaths.append(Death(part.name, time.time(), _ending(code)))
            await asyncio.sleep(_RESTART_S if part.pause_s is None else part.pause_s)
            part.pause_s = None

    async def _start(self, part: Part) -> None:
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

    async def end(self, part: Part, number: signal.Signals, pause_s: float = _RESTART_S) -> None:
        """Sends a signal that ends the part, and waits for it; kills what does not end."""
        process = part.process
        if process is None or process.returncode is not None:
            return
        part.pause_s = pause_s
        process.send_signal(number)
        await self.gone(part, process, f"alive {STOP_S:.0f} s after {number.name}")

    async def gone(self, part: Part, process: asyncio.subprocess.Process, else_: str) -> None:
        """Waits until a process that is to end has ended; kills it, and says so, if it does not."""
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            self.deaths.append(Death(part.name, time.time(), else_))
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        """Ends all gracefully: workers first, since their leave is a coordinator's to write."""
        self._closing = True
        for names in (
            [each.name for each in roster.WORKERS],
            [each.name for each in roster.COORDINATORS],
            [roster.WEB],
        ):
            await asyncio.gather(*(self.end(self.parts[name], signal.SIGTERM) for name in names))

    async def abort(self) -> None:
        """Ends at once what still runs."""
        self._closing = True
        for part in self.parts.values():
            if part.process is not None and part.process.returncode is None:
                part.process.kill()
                await part.process.wait()


def fleet(
    url: str, hosts: Hosts, ports: Mapping[str, int], folder: Path, environ: Mapping[str, str]
) -> Fleet:
    """The parts of the roster. `ports` are those of the coordinators and the web."""
    common = marked(**environ, DATABASE_URL=url, PYTHONUNBUFFERED="1")
    python, manage = sys.executable, str(ROOT / "manage.py")

    def part(name: str, command: Sequence[str], host: str = roster.HOME) -> Part:
        extra = {ledger.VARIABLE: str(folder / "ledger" / f"{name}.log")}
        log = folder / "logs" / f"{name}.log"
        return Part(name, hosts.inside(host, command), {**common, **extra}, log)

    endpoint = f"tcp:port={ports[roster.WEB]}:interface=127.0.0.1:backlog=2048"
    daphne = ["-m", "daphne", "-v", "0", "-e", endpoint, "taskmaster_site.asgi:application"]
    parts = [part(roster.WEB, [python, *daphne])]
    for each in roster.COORDINATORS:
        command = [python, manage, "runcoordinator", "--port", str(ports[each.name])]
        parts.append(part(each.name, command, each.host))
    addresses = [f"127.0.0.1:{ports[each.name]}" for each in roster.COORDINATORS]
    for number, worker in enumerate(roster.WORKERS):
        # Each begins with another coordinator.
        first = number % len(addresses)
        known = ",".join(addresses[first:] + addresses[:first])
        options = ["--name", worker.name, "--coordinator", known]
        options += ["--pool", worker.pool, "--concurrency", str(worker.slots)]
        parts.append(part(worker.name, [python, manage, "runworker", *options], worker.host))
    return Fleet({each.name: each for each in parts})


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """A port for each name, all different."""
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        port = free_port()
        if port not in ports.values():
            ports[names[len(ports)]] = port
    return ports


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
