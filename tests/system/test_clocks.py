"""Test hosts whose clocks differ by minutes: only the database's clock must matter."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from google.protobuf.timestamp_pb2 import Timestamp
from rest_framework.authtoken.models import Token

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.models import Task, TaskOutput
from tests.factories import stored
from tests.system.fleet import ROOT, WireWorker, database_url, end, free_port
from tests.system.programs import Program
from tests.system.workers import call, online, run_worker
from tests.waiting import until, until_counted, until_finished, wait_until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = [
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not LIBRARIES, reason="needs libfaketimeMT.so.1; on Debian: apt-get install libfaketime"
    ),
    pytest.mark.parametrize(("here", "there"), [(300, -300), (-300, 300)], ids=["ahead", "behind"]),
]

store = sync_to_async(stored)
#: The permitted difference from the database's clock: execution time, much less than the skew.
NEAR_S = 2.0
#: Workers are lost after 3 s without a heartbeat instead of 15 s.
QUICK = {
    "TASKMASTER_HEARTBEAT_INTERVAL_S": "1",
    "TASKMASTER_LOST_CONTACT_MARGIN_S": "1",
    "TASKMASTER_RECONNECT_MAX_S": "1",
}


def skewed(seconds: int) -> dict[str, str]:
    """Return an environment in which a process and its children have a skewed wall clock."""
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(ROOT / "tests/system/skew"),
    }


@contextmanager
def coordinator(log: Path, seconds: int) -> Iterator[str]:
    """Run a coordinator with a skewed clock; yield its address."""
    port = free_port()
    environment = {"DATABASE_URL": database_url(), **QUICK, **skewed(seconds)}
    program = Program(("manage.py", "runcoordinator", "--port", str(port)), log, environment)
    try:
        wait_until(lambda: program.wrote("coordinator ready"), "the coordinator is ready")
        first = datetime.fromisoformat(program.text().partition(" ")[0])
        assert abs(first.timestamp() - time.time() - seconds) < 30, "its clock is not off"
        yield f"127.0.0.1:{port}"
    finally:
        code = end(program.process)
    assert code == 0, program.text()
    assert "Traceback" not in program.text(), program.text()


@pytest.fixture
def address(here: int, transactional_db: None, tmp_path: Path) -> Iterator[str]:
    with coordinator(tmp_path / "coordinator.log", here) as running:
        yield running


@sync_to_async
def database_now() -> datetime:
    with psycopg.connect(database_url()) as link:
        row = link.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


async def assert_near_database_time(*moments: datetime | str | None) -> None:
    """Assert that the times are in order and that the last one is now, by the database's clock."""
    given = [datetime.fromisoformat(each) if isinstance(each, str) else each for each in moments]
    found = [each for each in given if each is not None]
    assert len(found) == len(given), given
    assert found == sorted(found), found
    now = await database_now()
    assert found[-1] <= now
    assert now - found[-1] < timedelta(seconds=NEAR_S), (found, now)


async def test_tasks_run_once_and_on_time_with_times_of_the_database(
    address: str, there: int
) -> None:
    heron = run_worker(address, "--name", "heron", "--concurrency", "4", **QUICK, **skewed(there))
    try:
        await online("heron")
        plain = await until_finished(await call("clocks"))
        await assert_near_database_time(
            plain.created_at, plain.picked_at, plain.started_at, plain.completed_at
        )
        assert (plain.attempt, plain.lease, plain.errors) == (1, 1, [])
        assert abs(plain.result[0] - time.time() - there) < 30, "the worker's clock is not off"

        # Neither early nor late by the machine's real clock.
        scheduled_at = await database_now() + timedelta(seconds=2)
        due = time.monotonic() + 2
        task_id = await call("clocks", scheduled_at=scheduled_at)
        await until_counted(1, pk=task_id, status="picked")
        later = await until_finished(task_id)
        assert -0.05 < later.result[1] - due < 0.5
        assert later.started_at is not None
        assert -0.05 < (later.started_at - scheduled_at).total_seconds() < 0.5
        await assert_near_database_time(
            later.created_at, later.picked_at, later.started_at, later.completed_at
        )

        broken = await until_finished(await call("print_and_raise"))
        [error] = broken.errors
        await assert_near_database_time(
            broken.created_at, broken.picked_at, broken.started_at, error["at"]
        )
        assert broken.failed_at == datetime.fromisoformat(error["at"])
        chunks = TaskOutput.objects.filter(task_id=broken.pk)
        assert await chunks.acount() > 0
        async for chunk in chunks:
            await assert_near_database_time(broken.started_at, chunk.created_at)

        # The retry delay is measured by the database's clock.
        again = await call("print_and_raise", max_attempts=2, retry_base_s=1.0)
        twice = await until_finished(again)
        first, last = (datetime.fromisoformat(error["at"]) for error in twice.errors)
        assert 0.7 < (last - first).total_seconds() < 2.5
        await assert_near_database_time(first, last)
    finally:
        await asyncio.to_thread(end, heron)
    assert heron.stdout is not None
    output = heron.stdout.read()
    assert heron.returncode == 0, output
    assert "Traceback" not in output, output
    assert await Task.objects.filter(attempt__gt=1).acount() == 1


async def test_lost_and_frozen_workers_are_detected_in_time(address: str, there: int) -> None:
    names = ("crane", "heron")
    crane, heron = (
        run_worker(address, "--name", name, "--queues", name, **QUICK, **skewed(there))
        for name in names
    )
    try:
        for name in names:
            await online(name)
        ids = [
            await call("sleep", 300, queue=name, max_attempts=2, retry_base_s=0.1) for name in names
        ]
        await until_counted(2, status="started")
        end(crane, signal.SIGKILL)
        os.kill(heron.pid, signal.SIGSTOP)
        gone_at = time.monotonic()
        async with WireWorker(address).running() as other:
            taken = await taken_over(other, ids, gone_at)
            assert taken[ids[0]] < 4.5, "a lost worker's task"
            assert 2 < taken[ids[1]] < 6.5, "a frozen worker's task"
            os.kill(heron.pid, signal.SIGCONT)
            await until_counted(2, status="complete")
            # The worker resumes, and its reports for the old lease are ignored.
            assert (await until_finished(await call("echo", 1, queue="heron"))).status == "complete"
    finally:
        os.kill(heron.pid, signal.SIGCONT)
        await asyncio.to_thread(end, heron)
        end(crane, signal.SIGKILL)
    async for task in Task.objects.filter(pk__in=ids):
        [error] = task.errors
        assert (task.attempt, task.result, error["class"]) == (2, 1, "lost")
        at = datetime.fromisoformat(error["at"])
        assert task.created_at < at < task.scheduled_at < task.completed_at
        assert (task.scheduled_at - at).total_seconds() < 1


async def taken_over(worker: WireWorker, ids: list[int], since: float) -> dict[int, float]:
    """Return the seconds until each task is offered to the worker."""
    found: dict[int, float] = {}

    def all_seen() -> bool:
        for _, offer in worker.offers:
            found.setdefault(offer.task_id, time.monotonic() - since)
        return found.keys() >= set(ids)

    await until(all_seen, 12)
    return found


async def test_the_coordinator_s_clock_does_not_decide_what_is_in_the_past(
    address: str, there: int
) -> None:
    token = await token_of()

    async def delays(seconds: float) -> list[float]:
        """Submit a task by each call. Return the seconds from its creation until it is due."""
        at = Timestamp()
        at.FromDatetime(await database_now() + timedelta(seconds=seconds))
        request = pb.SubmitTaskRequest(
            name="examples.tasks.add", args_json="[1, 2]", scheduled_at=at
        )
        metadata = (("authorization", f"Token {token}"),)
        one = await stub.SubmitTask(request, metadata=metadata)
        many = await stub.SubmitTasks(
            iter([pb.SubmitTasksRequest(tasks=[request])]), metadata=metadata
        )
        return [
            (task.scheduled_at - task.created_at).total_seconds()
            async for task in Task.objects.filter(pk__in=[one.task_id, *many.task_ids])
        ]

    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.TaskServiceStub(channel)
        for given, expected in ((60, 60), (-60, 0)):
            assert await delays(given) == [pytest.approx(expected, abs=10)] * 2


@sync_to_async
def token_of() -> str:
    user: Any = get_user_model().objects.create_user(username="client")
    user.user_permissions.set(Permission.objects.filter(codename="add_task"))
    return str(Token.objects.create(user=user).key)
