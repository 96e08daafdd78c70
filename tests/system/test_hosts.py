"""Test coordinators and workers on separate hosts over TLS: join, disconnect, reconnect, leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks.models import Task
from taskmaster.workers.models import Worker
from taskmaster.workers.security import certificates, tokens
from tests.system.fleet import database_url, end
from tests.system.lan import Lan
from tests.system.programs import Program
from tests.system.workers import MODULE, call, online
from tests.waiting import until, until_counted, until_finished, until_offline

NAMES, WIRED = ("left", "right", "heron", "crane"), ("left", "right")
pytestmark = pytest.mark.django_db(transaction=True)
make, revoke = sync_to_async(tokens.create), sync_to_async(tokens.revoke)
#: Workers are lost after 3 s without a heartbeat instead of 15 s.
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
        """Run a coordinator that listens on the host's own address."""
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
        """Run a worker that knows one coordinator and no database."""
        return self._run(
            host,
            (
                *("runworker", "--name", host, "--executor", "thread", "--concurrency", "4"),
                *("--coordinator", f"{self.lan.address(coordinator)}:50051"),
            ),
            DATABASE_URL="postgresql://user@127.0.0.1:1/nothing",
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
        """Kill all programs."""
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
    """Print the logs when the test fails; check that they contain no traceback."""
    yield
    for log in sorted(fleet.folder.glob("*.log")):
        print(f"---- {log.name}\n{log.read_text()}")
        assert "Traceback" not in log.read_text()


async def coordinator_of(worker: str) -> str:
    """Return the host of the worker's coordinator."""
    row = await Worker.objects.aget(name=worker)
    listed = await Coordinator.objects.aget(pk=row.coordinator)
    return {"203.0.113.10:50051": "left", "203.0.113.11:50051": "right"}[listed.address]


async def test_hosts_join_disconnect_reconnect_and_leave(fleet: Fleet, logs: None) -> None:
    lan = fleet.lan
    first, second = (await make("first")).secret, (await make("second", uses=1)).secret
    left, right = fleet.coordinator("left"), fleet.coordinator("right")

    # ---- the hosts join as soon as a coordinator is there ----
    workers = {
        "heron": fleet.worker("heron", first, "left"),
        "crane": fleet.worker("crane", second, "right"),
    }
    await asyncio.gather(*map(online, workers))

    # ---- a worker is disconnected: its task runs on the other worker and completes once ----
    running = await call("sleep", 3, max_attempts=2)
    await until_counted(1, pk=running, status="started")
    lost = (await Task.objects.aget(pk=running)).worker
    [other] = workers.keys() - {lost}
    lan.cut(lost)
    await until_counted(1, pk=running, status="started", worker=other)
    await until_offline(lost)
    lan.heal(lost)
    await online(lost)
    done = await until_finished(running)
    assert (done.status, done.worker, done.attempt) == ("complete", other, 2)
    assert [error["class"] for error in done.errors] == ["lost"]

    # ---- a worker leaves ----
    assert await asyncio.to_thread(end, workers[other].process) == 0
    await until_offline(other)

    # ---- a coordinator is disconnected: its worker connects to the other, which it had learnt ----
    before = await coordinator_of(lost)
    running = await call("sleep", 4, max_attempts=2)
    await until_counted(1, pk=running, status="started")
    lan.cut(before)
    await until_counted(1, pk=running, status="complete")
    assert await coordinator_of(lost) != before
    lan.heal(before)

    # ---- a worker's token is revoked ----
    await revoke("first" if lost == "heron" else "second")
    await until(lambda: workers[lost].process.poll() is not None)
    assert workers[lost].process.returncode == 1
    assert workers[lost].wrote("the join token is invalid, revoked, expired or used up")
    for program in (left, right, *workers.values()):
        assert first not in program.text()
        assert second not in program.text()
