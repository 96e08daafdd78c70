"""Coordinators and workers on hosts of their own, over TLS: joining, cut off, back, and leaving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from coordinator.models import Coordinator
from tasks.models import Task
from tests.system.fleet import database_url, end, until, until_counted
from tests.system.lan import Lan
from tests.system.programs import Program
from tests.system.workers import MODULE, call, ended, online
from workers.joining import certificates, tokens
from workers.models import Worker

NAMES, WIRED = ("left", "right", "heron", "crane"), ("left", "right")
pytestmark = pytest.mark.django_db(transaction=True)
make, revoke = sync_to_async(tokens.make), sync_to_async(tokens.revoke)
#: Silence is over after 3 s instead of 15.
QUICK = {
    "TASKMASTER_HEARTBEAT_INTERVAL_S": "1",
    "TASKMASTER_LOST_CONTACT_MARGIN_S": "1",
    "TASKMASTER_RETRY_BASE_S": "0.1",
    "TASKMASTER_RECONNECT_MAX_S": "1",
    "TASKMASTER_TASK_MODULES": MODULE,
}


class Fleet:
    """Programs on hosts."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.lan = lan
        self.folder = folder
        self._programs: list[Program] = []
        addresses = [lan.address(host) for host in WIRED]
        self.certs = certificates.write(folder / "certs", addresses, days=1)

    def coordinator(self, host: str) -> Program:
        """Listens on the host's own address."""
        return self._run(
            host,
            ("runcoordinator", "--host", self.lan.address(host)),
            DATABASE_URL=database_url(),
            TASKMASTER_TLS_CERT=str(self.certs.coordinator),
            TASKMASTER_TLS_KEY=str(self.certs.coordinator_key),
            TASKMASTER_TLS_CA=str(self.certs.ca),
            TASKMASTER_TLS_CLIENT_CERTS="required",
        )

    def worker(self, host: str, token: str, coordinator: str) -> Program:
        """Knows one coordinator, and no database."""
        return self._run(
            host,
            (
                *("runworker", "--name", host, "--pool", "threads", "--concurrency", "4"),
                *("--coordinator", f"{self.lan.address(coordinator)}:50051"),
            ),
            DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing",
            TASKMASTER_TLS_CA=str(self.certs.ca),
            TASKMASTER_TLS_CERT=str(self.certs.worker),
            TASKMASTER_TLS_KEY=str(self.certs.worker_key),
            TASKMASTER_JOIN_TOKEN=token,
        )

    def _run(self, host: str, command: tuple[str, ...], **environment: str) -> Program:
        program = Program(
            ("manage.py", *command),
            self.folder / f"{host}.log",
            {**QUICK, **environment},
            before=self.lan.inside(host, ()),
        )
        self._programs.append(program)
        return program

    def close(self) -> None:
        """Ends them all at once."""
        for program in self._programs:
            program.process.terminate()
        for program in self._programs:
            end(program.process)


@pytest.fixture
def fleet(transactional_db: None, tmp_path: Path) -> Iterator[Fleet]:
    with Lan(NAMES, WIRED) as lan:
        if lan.missing:
            pytest.skip(lan.missing)
        for host in WIRED:
            lan.carry(host, outward=[int(connection.settings_dict["PORT"])])
        fleet = Fleet(lan, tmp_path)
        try:
            yield fleet
        finally:
            fleet.close()


@pytest.fixture
async def logs(fleet: Fleet) -> AsyncIterator[None]:
    """Shown when the test fails; no traceback is in them."""
    yield
    for log in sorted(fleet.folder.glob("*.log")):
        print(f"---- {log.name}\n{log.read_text()}")
        assert "Traceback" not in log.read_text()


async def offline(worker: str) -> None:
    """Waits until the worker is none of the fleet."""
    async with asyncio.timeout(10):
        while await Worker.objects.filter(name=worker).exclude(status="offline").aexists():
            await asyncio.sleep(0.02)


async def coordinator_of(worker: str) -> str:
    """The host where the worker's coordinator is."""
    row = await Worker.objects.aget(name=worker)
    listed = await Coordinator.objects.aget(pk=row.coordinator)
    return {"203.0.113.10:50051": "left", "203.0.113.11:50051": "right"}[listed.address]


async def test_hosts_join_are_cut_off_come_back_and_leave(fleet: Fleet, logs: None) -> None:
    lan = fleet.lan
    first, second = (await make("first")).secret, (await make("second", uses=1)).secret
    left, right = fleet.coordinator("left"), fleet.coordinator("right")

    # ---- joining, as soon as somebody is there ----
    workers = {
        "heron": fleet.worker("heron", first, "left"),
        "crane": fleet.worker("crane", second, "right"),
    }
    await asyncio.gather(*map(online, workers))

    # ---- a worker is cut off: what it ran runs elsewhere, and counts once ----
    running = await call("sleep", 3, max_attempts=2)
    await until_counted(1, pk=running, status="started")
    lost = (await Task.objects.aget(pk=running)).worker
    [other] = workers.keys() - {lost}
    lan.cut(lost)
    await until_counted(1, pk=running, status="started", worker=other)
    await offline(lost)
    lan.heal(lost)
    await online(lost)
    done = await ended(running)
    assert (done.status, done.worker, done.attempt) == ("complete", other, 2)
    assert [error["class"] for error in done.errors] == ["lost"]

    # ---- one leaves ----
    assert await asyncio.to_thread(end, workers[other].process) == 0
    await offline(other)

    # ---- a coordinator is cut off: its worker goes to the other, of which it was told ----
    before = await coordinator_of(lost)
    running = await call("sleep", 4, max_attempts=2)
    await until_counted(1, pk=running, status="started")
    lan.cut(before)
    await until_counted(1, pk=running, status="complete")
    assert await coordinator_of(lost) != before
    lan.heal(before)

    # ---- one must leave ----
    await revoke("first" if lost == "heron" else "second")
    await until(lambda: workers[lost].process.poll() is not None)
    assert workers[lost].process.returncode == 1
    assert workers[lost].wrote("the join token is wrong, revoked, expired or used up")
    for program in (left, right, *workers.values()):
        assert first not in program.text()
        assert second not in program.text()
