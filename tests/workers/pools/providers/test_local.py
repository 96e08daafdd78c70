"""Real workers, forked from a real template."""

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

from tests.system.fleet import coordinator
from tests.workers.pools.local import end_all, observed, pids, provider, wanted
from workers import operations
from workers.models import PoolMember, Worker
from workers.pools import processes
from workers.pools.provider import Observed

pytestmark = pytest.mark.django_db(transaction=True)

all_pids = sync_to_async(pids)


def templates() -> set[int]:
    """The pids of the templates that this process has started."""
    children = psutil.Process().children()
    return {each.pid for each in children if "workers.pools.template" in _argv(each)}


def _argv(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    end_all()


async def test_workers_start_in_sessions_of_their_own_and_the_newest_go_first(
    tmp_path: Path,
) -> None:
    local = provider(tmp_path)
    await local.scale(wanted(3))
    started = await all_pids()
    assert list(started) == ["herons-1", "herons-2", "herons-3"]
    assert {os.getsid(pid) for pid in started.values()} == set(started.values())
    assert await local.observe(wanted(3)) == Observed(3)
    # Again: it is a level.
    await local.scale(wanted(3))
    assert await all_pids() == started
    # Ready for a signal, it says so; before it would just die, which is as well.
    await local.scale(wanted(1))
    assert await observed(local, wanted(1), lambda seen: not seen.stopping) == Observed(1)
    assert list(await all_pids()) == ["herons-1"]
    # The names are free again.
    await local.scale(wanted(2))
    assert list(await all_pids()) == ["herons-1", "herons-2"]
    await local.close()


async def test_the_template_of_a_pool_that_is_no_more_ends(tmp_path: Path) -> None:
    local = provider(tmp_path)
    for pool in ("herons", "storks"):
        await local.scale(wanted(1, pool))
    workers = await all_pids()
    before = templates()
    assert len(before) == 2
    local.keep({"herons"})
    async with asyncio.timeout(5):
        while len(templates()) == 2:
            await asyncio.sleep(0.02)
    assert [processes.born(pid) is not None for pid in workers.values()] == [True, True]
    await local.scale(wanted(2))
    assert templates() < before
    await local.close()


async def test_the_next_provider_adopts_them_and_tells_a_death_from_a_farewell(
    tmp_path: Path,
) -> None:
    first = provider(tmp_path)
    await first.scale(wanted(3))
    before = await all_pids()
    await first.close()
    second = provider(tmp_path)
    assert await second.observe(wanted(3)) == Observed(3)
    os.kill(before["herons-2"], signal.SIGKILL)
    [died] = (await observed(second, wanted(3), lambda seen: bool(seen.died))).died
    # It was not the second one's child, so nobody knows how it ended.
    assert died.exit_code is None
    await second.scale(wanted(3))
    after = await all_pids()
    assert after["herons-1"] == before["herons-1"]
    assert after["herons-2"] != before["herons-2"]
    os.kill(after["herons-2"], signal.SIGKILL)
    [died] = (await observed(second, wanted(3), lambda seen: bool(seen.died))).died
    assert died.exit_code == -signal.SIGKILL
    await second.scale(wanted(0))
    assert await observed(second, wanted(0), lambda seen: not seen.stopping) == Observed(0)
    await second.close()


async def test_a_pid_that_is_another_process_s_by_now_is_left_alone(tmp_path: Path) -> None:
    mine = processes.born(os.getpid())
    assert mine is not None
    host = os.uname().nodename
    await PoolMember.objects.acreate(
        pool="herons", name="herons-1", host=host, pid=os.getpid(), born=mine - 1, log_path="/nil"
    )
    local = provider(tmp_path)
    [died] = (await local.observe(wanted(0))).died
    assert died.exit_code is None
    assert not await PoolMember.objects.aexists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TASKMASTER_TASK_MODULES", "no.such.module", "No module named 'no'"),
        ("TASKMASTER_GRPC_PORT", "seven", "TASKMASTER_GRPC_PORT is 'seven'"),
    ],
)
async def test_a_worker_that_cannot_live_leaves_its_last_words(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    local = provider(tmp_path)
    asked = wanted(1, "herons", **{variable: value})
    await local.scale(asked)
    [died] = (await observed(local, asked, lambda seen: bool(seen.died))).died
    assert died.exit_code == 1
    assert said in died.last_log
    assert await local.observe(asked) == Observed(0)
    await local.close()


async def test_a_process_whose_pid_nobody_noted_is_adopted_when_its_worker_registers(
    tmp_path: Path,
) -> None:
    async with coordinator() as address:
        local = provider(tmp_path, address)
        await local.scale(wanted(1))
        await local.close()
        # As if the coordinator had died between the fork and the note.
        await PoolMember.objects.aupdate(pid=None, born=None)
        again = provider(tmp_path, address)
        async with asyncio.timeout(15):
            while not await Worker.objects.filter(status="online").aexists():
                await asyncio.sleep(0.02)
        assert await again.observe(wanted(1)) == Observed(1)
        assert list(await all_pids()) == ["herons-1"]
        worker = await Worker.objects.aget(pool_name="herons")
        assert (worker.name, worker.pid) == ("herons-1", (await all_pids())["herons-1"])
        # An operator sends it away: that is no death, though nobody here saw its exit code.
        await sync_to_async(operations.drain)(worker.pk)
        seen = await observed(again, wanted(1), lambda seen: not seen.running + seen.stopping)
        assert seen == Observed(0)
        assert processes.born(worker.pid) is None


async def test_a_worker_that_names_another_s_process_is_not_taken_at_its_word(
    tmp_path: Path,
) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    host, local = os.uname().nodename, provider(tmp_path)
    await PoolMember.objects.acreate(pool="herons", name="herons-1", host=host, log_path="/nil")
    await Worker.objects.acreate(
        id=uuid4(), name="herons-1", host=host, pid=bystander.pid, pool="threads", slots=1,
        pool_name="herons",
    )  # fmt: skip
    await local.observe(wanted(1))
    assert not await all_pids()
    await local.scale(wanted(0))
    assert (await Worker.objects.aget()).command == "stop"
    assert bystander.returncode is None
    bystander.kill()
    assert await bystander.wait() == -signal.SIGKILL


async def test_who_was_cut_off_on_another_host_and_replaced_is_told_to_stop_when_it_is_back(
    tmp_path: Path,
) -> None:
    local, since = provider(tmp_path), timezone.now() - timedelta(minutes=1)
    for index in (1, 2):
        place = {"name": f"herons-{index}", "host": "elsewhere", "pid": index}
        await PoolMember.objects.acreate(
            **place, pool="herons", born=1, log_path="/nil", started_at=since
        )
        await Worker.objects.acreate(
            **place, id=uuid4(), pool="threads", slots=1, pool_name="herons"
        )
    assert await local.observe(wanted(2)) == Observed(2)
    await Worker.objects.filter(pid=2).aupdate(status="offline")
    assert await local.observe(wanted(2)) == Observed(1)
    assert [member.pid async for member in PoolMember.objects.all()] == [1]
    # Its coordinator says it with every heartbeat.
    commands = {worker.pid: worker.command async for worker in Worker.objects.all()}
    assert commands == {1: "", 2: "stop"}


async def test_what_was_reserved_and_never_came_to_be_is_forgotten(tmp_path: Path) -> None:
    host = os.uname().nodename
    late = timezone.now() - timedelta(seconds=31)
    for name, started_at in (("herons-1", late), ("herons-2", timezone.now())):
        await PoolMember.objects.acreate(
            pool="herons", name=name, host=host, log_path="/nil", started_at=started_at
        )
    assert await provider(tmp_path).observe(wanted(2)) == Observed(1)
    assert [member.name async for member in PoolMember.objects.all()] == ["herons-2"]


async def test_a_worker_that_finds_no_living_coordinator_is_replaced(tmp_path: Path) -> None:
    local = provider(tmp_path)
    await local.scale(wanted(1))
    assert await local.observe(wanted(1)) == Observed(1)
    later = provider(tmp_path, clock=iter([0.0, 0.0, 0.0, 31.0, 31.0]).__next__)
    assert await later.observe(wanted(1)) == Observed(1)
    assert await later.observe(wanted(1)) == Observed(0, 1)
    assert await observed(later, wanted(1), lambda seen: not seen.stopping) == Observed(0)
    await local.close()
