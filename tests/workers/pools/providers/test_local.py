"""Test the provider `local` with real workers, forked from real zygotes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from taskmaster.workers import operations
from taskmaster.workers.models import PoolMember, Worker
from taskmaster.workers.pools import processes
from taskmaster.workers.pools.provider import ObservedPool
from tests.system.fleet import coordinator
from tests.workers.pools.local import desired_pool, end_all, observed, pids, provider

pytestmark = pytest.mark.django_db(transaction=True)

all_pids = sync_to_async(pids)


def zygotes() -> set[int]:
    """Return the pids of the zygotes that this process has started."""
    children = psutil.Process().children()
    return {each.pid for each in children if "taskmaster.workers.pools.zygote" in _argv(each)}


def _argv(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


@pytest.fixture(autouse=True)
def _end_workers() -> Iterator[None]:
    yield
    end_all()


async def test_workers_start_in_separate_sessions_and_the_newest_are_stopped_first(
    tmp_path: Path,
) -> None:
    local = provider(tmp_path)
    await local.scale(desired_pool(3))
    started = await all_pids()
    assert list(started) == ["herons-1", "herons-2", "herons-3"]
    assert {os.getsid(pid) for pid in started.values()} == set(started.values())
    assert await local.observe(desired_pool(3)) == ObservedPool(3)
    # A repeated call changes nothing.
    await local.scale(desired_pool(3))
    assert await all_pids() == started
    # A worker may get the signal before it handles signals. It then ends by the signal, which is
    # also correct.
    await local.scale(desired_pool(1))
    assert await observed(local, desired_pool(1), lambda seen: not seen.stopping) == ObservedPool(1)
    assert list(await all_pids()) == ["herons-1"]
    # The names are free again.
    await local.scale(desired_pool(2))
    assert list(await all_pids()) == ["herons-1", "herons-2"]
    await local.close()


async def test_the_zygote_of_a_deleted_pool_exits(tmp_path: Path) -> None:
    local = provider(tmp_path)
    for pool in ("herons", "storks"):
        await local.scale(desired_pool(1, pool))
    workers = await all_pids()
    before = zygotes()
    assert len(before) == 2
    local.keep_only({"herons"})
    async with asyncio.timeout(15):
        while len(zygotes()) == 2:
            await asyncio.sleep(0.02)
    assert [processes.start_time(pid) is not None for pid in workers.values()] == [True, True]
    await local.scale(desired_pool(2))
    assert zygotes() < before
    await local.close()


async def test_the_next_provider_adopts_the_workers_and_distinguishes_deaths_from_stops(
    tmp_path: Path,
) -> None:
    first = provider(tmp_path)
    await first.scale(desired_pool(3))
    before = await all_pids()
    await first.close()
    second = provider(tmp_path)
    assert await second.observe(desired_pool(3)) == ObservedPool(3)
    os.kill(before["herons-2"], signal.SIGKILL)
    [died] = (await observed(second, desired_pool(3), lambda seen: bool(seen.died))).died
    # The worker was not a child of the second provider, so its exit code is unknown.
    assert died.exit_code is None
    await second.scale(desired_pool(3))
    after = await all_pids()
    assert after["herons-1"] == before["herons-1"]
    assert after["herons-2"] != before["herons-2"]
    os.kill(after["herons-2"], signal.SIGKILL)
    [died] = (await observed(second, desired_pool(3), lambda seen: bool(seen.died))).died
    assert died.exit_code == -signal.SIGKILL
    await second.scale(desired_pool(0))
    assert await observed(second, desired_pool(0), lambda seen: not seen.stopping) == ObservedPool(
        0
    )
    await second.close()


async def test_a_pid_reused_by_another_process_gets_no_signal(tmp_path: Path) -> None:
    mine = processes.start_time(os.getpid())
    assert mine is not None
    host = os.uname().nodename
    await PoolMember.objects.acreate(
        pool="herons", name="herons-1", host=host, pid=os.getpid(), born=mine - 1, log_path="/nil"
    )
    local = provider(tmp_path)
    [died] = (await local.observe(desired_pool(0))).died
    assert died.exit_code is None
    assert not await PoolMember.objects.aexists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TASKMASTER_TASK_MODULES", "no.such.module", "No module named 'no'"),
        ("TASKMASTER_GRPC_PORT", "seven", "TASKMASTER_GRPC_PORT is 'seven'"),
    ],
)
async def test_a_worker_that_dies_at_start_leaves_its_log(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    local = provider(tmp_path)
    desired = desired_pool(1, "herons", **{variable: value})
    await local.scale(desired)
    [died] = (await observed(local, desired, lambda seen: bool(seen.died))).died
    assert died.exit_code == 1
    assert message in died.last_log
    assert await local.observe(desired) == ObservedPool(0)
    await local.close()


async def test_a_process_without_a_recorded_pid_is_adopted_when_its_worker_registers(
    tmp_path: Path,
) -> None:
    async with coordinator() as address:
        local = provider(tmp_path, address)
        await local.scale(desired_pool(1))
        await local.close()
        # As if the coordinator had died between the fork and the write of the pid.
        await PoolMember.objects.aupdate(pid=None, born=None)
        again = provider(tmp_path, address)
        async with asyncio.timeout(15):
            while not await Worker.objects.filter(status="online").aexists():
                await asyncio.sleep(0.02)
        assert await again.observe(desired_pool(1)) == ObservedPool(1)
        assert list(await all_pids()) == ["herons-1"]
        worker = await Worker.objects.aget(pool="herons")
        assert (worker.name, worker.pid) == ("herons-1", (await all_pids())["herons-1"])
        # An operator drains it. This does not count as a death, although the exit code is unknown.
        await sync_to_async(operations.drain)(worker.pk)
        seen = await observed(again, desired_pool(1), lambda seen: not seen.running + seen.stopping)
        assert seen == ObservedPool(0)
        assert processes.start_time(worker.pid) is None


async def test_a_pid_claimed_by_a_worker_is_adopted_only_if_it_is_a_worker_process(
    tmp_path: Path,
) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    host, local = os.uname().nodename, provider(tmp_path)
    await PoolMember.objects.acreate(pool="herons", name="herons-1", host=host, log_path="/nil")
    await Worker.objects.acreate(
        id=uuid4(), name="herons-1", host=host, pid=bystander.pid, executor="thread", slots=1,
        pool="herons",
    )  # fmt: skip
    await local.observe(desired_pool(1))
    assert not await all_pids()
    await local.scale(desired_pool(0))
    assert (await Worker.objects.aget()).command == "stop"
    assert bystander.returncode is None
    bystander.kill()
    assert await bystander.wait() == -signal.SIGKILL


async def test_a_replaced_worker_of_another_host_is_stopped_when_it_reconnects(
    tmp_path: Path,
) -> None:
    local, since = provider(tmp_path), timezone.now() - timedelta(minutes=1)
    for index in (1, 2):
        place = {"name": f"herons-{index}", "host": "elsewhere", "pid": index}
        await PoolMember.objects.acreate(
            **place, pool="herons", born=1, log_path="/nil", started_at=since
        )
        await Worker.objects.acreate(**place, id=uuid4(), executor="thread", slots=1, pool="herons")
    assert await local.observe(desired_pool(2)) == ObservedPool(2)
    await Worker.objects.filter(pid=2).aupdate(status="offline")
    assert await local.observe(desired_pool(2)) == ObservedPool(1)
    assert [member.pid async for member in PoolMember.objects.all()] == [1]
    # Its coordinator repeats the command with every heartbeat.
    commands = {worker.pid: worker.command async for worker in Worker.objects.all()}
    assert commands == {1: "", 2: "stop"}


async def test_a_reserved_member_that_was_never_started_is_deleted(tmp_path: Path) -> None:
    host = os.uname().nodename
    late = timezone.now() - timedelta(seconds=31)
    for name, started_at in (("herons-1", late), ("herons-2", timezone.now())):
        await PoolMember.objects.acreate(
            pool="herons", name=name, host=host, log_path="/nil", started_at=started_at
        )
    assert await provider(tmp_path).observe(desired_pool(2)) == ObservedPool(1)
    assert [member.name async for member in PoolMember.objects.all()] == ["herons-2"]


async def test_a_worker_without_a_live_coordinator_is_replaced(tmp_path: Path) -> None:
    local = provider(tmp_path)
    await local.scale(desired_pool(1))
    assert await local.observe(desired_pool(1)) == ObservedPool(1)
    later = provider(tmp_path, clock=iter([0.0, 0.0, 0.0, 31.0, 31.0]).__next__)
    assert await later.observe(desired_pool(1)) == ObservedPool(1)
    assert await later.observe(desired_pool(1)) == ObservedPool(0, 1)
    assert await observed(later, desired_pool(1), lambda seen: not seen.stopping) == ObservedPool(0)
    await local.close()
