"""Test that no task is lost or completed twice when a process dies, freezes or is disconnected."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks import task_actions
from taskmaster.tasks.models import Task
from taskmaster.workers.models import Worker
from tests.factories import in_s, stored
from tests.system.fleet import WireWorker, coordinator, end, free_port, manage, serving
from tests.system.workers import call, online, run_worker, shell, worker
from tests.waiting import until, until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)

store = sync_to_async(stored)
#: Workers are lost after 3 s without a heartbeat instead of 15 s, so that tests are short.
QUICK = {
    "TASKMASTER_HEARTBEAT_INTERVAL_S": "1",
    "TASKMASTER_LOST_CONTACT_MARGIN_S": "1",
    "TASKMASTER_RETRY_BASE_S": "0.1",
    "TASKMASTER_RECONNECT_MAX_S": "1",
}

#: Well below the 15 s after which a silent worker or coordinator is lost: within this time, only a
#: broken stream or a free lock can have shown that it is gone. Benchmarks measure the rescues.
BEFORE_OVERDUE_S = 12.0


async def misses(name: str) -> int:
    return (await Worker.objects.aget(name=name)).heartbeat_misses


async def status_of(name: str) -> str:
    return (await Worker.objects.aget(name=name)).status


def resume(processes: list[psutil.Process]) -> None:
    """Resume frozen processes; skip those that were killed."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


# ---- workers ------------------------------------------------------------------------------------


async def test_a_killed_worker_s_task_is_rescued_before_its_heartbeat_is_overdue() -> None:
    async with coordinator(TASKMASTER_RETRY_BASE_S="0.1") as address:
        heron = run_worker(address, "--name", "heron", "--concurrency", "2")
        await online("heron")
        ids = [await call("sleep", 300, max_attempts=2), await call("sleep", 300)]
        await until_counted(2, status="started")
        end(heron, signal.SIGKILL)
        async with WireWorker(address).running() as other:
            await until(lambda: other.offers, BEFORE_OVERDUE_S)
            assert other.offers[0][1].attempt == 2
            await until_counted(1, pk=ids[0], status="complete")
        again, last = [await Task.objects.aget(pk=task_id) for task_id in ids]
    assert (again.attempt, last.attempt, last.status) == (2, 1, "failed")
    for task in (again, last):
        [error] = task.errors
        assert (error["class"], error["worker"], error["attempt"]) == ("lost", "heron", 1)
        assert error["message"] == "the worker heron was lost"
    assert await status_of("heron") == "offline"


@pytest.mark.parametrize(
    "whole_group",
    [
        pytest.param(True, id="whole group"),
        pytest.param(False, id="supervisor alone", marks=pytest.mark.long),
    ],
)
async def test_a_frozen_worker_is_removed_and_fenced_when_it_comes_back(whole_group: bool) -> None:
    async with coordinator(**QUICK) as address:
        heron = run_worker(address, "--name", "heron", "--concurrency", "1", **QUICK)
        await online("heron")
        task_id = await call("sleep", 60, max_attempts=3)
        await until_counted(1, status="started")
        family = [psutil.Process(heron.pid)]
        if whole_group:
            family += family[0].children(recursive=True)
        for process in family:
            process.suspend()
        try:
            async with asyncio.timeout(15):
                while await misses("heron") < 2:
                    await asyncio.sleep(0.05)
            async with WireWorker(address, slots=1).running() as other:
                other.holding = True
                await until(lambda: other.offers)
                assert await status_of("heron") == "offline"
                resume(family)
                # It learns that its lease is stale, stops the task, and offers its slot again.
                later = await call("echo", 7)
                assert (await until_finished(later)).worker == "heron"
                await other.complete([other.offers[0][1]])
                task = await until_finished(task_id)
        finally:
            resume(family)
            await asyncio.to_thread(end, heron)
    assert (task.status, task.result, task.attempt) == ("complete", 1, 2)
    assert [(e["class"], e["attempt"]) for e in task.errors] == [("lost", 1)]
    assert heron.stdout is not None
    assert "reason=stale" in heron.stdout.read().replace('"', "")


async def test_a_missed_heartbeat_is_counted_and_reset_by_the_next_one() -> None:
    async with coordinator(**QUICK) as address, worker(address, **QUICK) as heron:
        os.kill(heron.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(15):
                while await misses("heron") < 1:
                    await asyncio.sleep(0.05)
        finally:
            os.kill(heron.pid, signal.SIGCONT)
        async with asyncio.timeout(15):
            while await misses("heron") or await status_of("heron") != "online":
                await asyncio.sleep(0.05)


async def test_a_long_task_is_not_rescued_from_a_live_worker() -> None:
    async with coordinator(**QUICK) as address, worker(address, **QUICK):
        task_id = await call("sleep", 6)
        task = await until_finished(task_id)
    assert (task.status, task.attempt, task.lease, task.errors) == ("complete", 1, 1, [])


async def test_a_task_that_kills_its_worker_fails_after_its_attempts() -> None:
    async with coordinator(**QUICK) as address:
        task_id = await call("kill_the_worker", max_attempts=2)
        # The first offers can kill the worker before the start is reported: only from then on is
        # each start durable before the task runs.
        for number in range(3):
            heron = run_worker(address, "--name", f"heron-{number}", **QUICK)
            async with asyncio.timeout(20):
                while (
                    heron.poll() is None
                    and not await Task.objects.filter(pk=task_id, status="failed").aexists()
                ):
                    await asyncio.sleep(0.05)
            end(heron, signal.SIGKILL)
        task = await until_finished(task_id)
    assert (task.status, task.attempt) == ("failed", 2)
    assert [error["class"] for error in task.errors] == ["lost", "lost"]


async def test_a_task_that_its_worker_no_longer_knows_is_rescued() -> None:
    async with coordinator(**QUICK) as address, WireWorker(address).running() as forgetful:
        forgetful.holding, forgetful.beating = True, False
        [task_id] = await store(max_attempts=2)
        await until_counted(1, pk=task_id, status="started")
        # The worker is alive, and its heartbeats name no running task.
        for _ in range(2):
            await forgetful.beat()
        await until_counted(1, pk=task_id, status="started", attempt=2, deadline_s=10)
    [error] = (await Task.objects.aget(pk=task_id)).errors[:1]
    assert error["class"] == "lost"
    assert "stopped listing this execution" in error["message"]


# ---- contact ------------------------------------------------------------------------------------


async def test_without_a_coordinator_a_task_continues_or_stops_as_declared() -> None:
    port = free_port()
    lone = manage("runcoordinator", "--port", str(port), **QUICK)
    await serving(f"127.0.0.1:{port}")
    heron = run_worker(f"127.0.0.1:{port}", "--name", "heron", "--concurrency", "3", **QUICK)
    try:
        await online("heron")
        goes_on = await call("sleep", 7)
        stops = await call("sleep", 300, on_lost_contact="stop")
        stops_too = await shell("sleep 300.456", on_lost_contact="stop")
        await until_counted(3, status="started")
        end(lone, signal.SIGKILL)
        # Two seconds after the last answer: one before a rescue can begin.
        await until(lambda: not running("sleep", "300.456"))
        await asyncio.to_thread(wait_in_thread, 3.0)
        async with coordinator(port, **QUICK):
            undisturbed = await until_finished(goes_on)
            for task_id in (stops, stops_too):
                [error] = (await until_finished(task_id)).errors
                assert error["class"] == "lost"
                assert error["message"] == "stopped: its worker could not reach any coordinator"
    finally:
        await asyncio.to_thread(end, heron)
    assert (undisturbed.status, undisturbed.attempt, undisturbed.errors) == ("complete", 1, [])


def running(*arguments: str) -> list[psutil.Process]:
    """Return the processes with these arguments."""
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == list(arguments)]


def wait_in_thread(seconds: float) -> None:
    """Let time pass without a coordinator."""
    subprocess.run(["sleep", str(seconds)], check=True)


async def test_a_stoppable_task_is_not_rescued_before_its_worker_has_stopped_it() -> None:
    async with coordinator(**QUICK) as address:
        async with WireWorker(address).running() as lost:
            lost.holding = True
            [plain] = await store()
            [stoppable] = await store(on_lost_contact="stop")
            await until_counted(2, status="started")
        left_at = time.monotonic()
        async with WireWorker(address).running() as other:
            await until(lambda: [o for _, o in other.offers if o.task_id == plain])
            early = time.monotonic() - left_at
            await until(lambda: [o for _, o in other.offers if o.task_id == stoppable], 8)
            late = time.monotonic() - left_at
    # The grace of 2 s, and 3 s without a heartbeat, counted from the last contact.
    assert early < late
    assert [e["class"] for e in (await Task.objects.aget(pk=stoppable)).errors] == ["lost"]


# ---- coordinators -------------------------------------------------------------------------------


async def test_a_dead_coordinator_s_held_tasks_are_released_before_it_is_overdue() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    await serving(f"127.0.0.1:{port}")
    async with coordinator() as second:
        async with worker(f"127.0.0.1:{port},{second}", "--concurrency", "2"):
            await store(20, scheduled_at=in_s(25))
            await until_counted(20, status="picked")
            end(first, signal.SIGKILL)
            async with asyncio.timeout(BEFORE_OVERDUE_S):
                while await Task.objects.filter(lease=1, status="picked").aexists():
                    await asyncio.sleep(0.02)
        await Task.objects.all().adelete()


async def test_tasks_of_a_dead_coordinator_s_lost_worker_are_rescued() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    await serving(f"127.0.0.1:{port}")
    async with coordinator(
        TASKMASTER_RECONNECT_MAX_S="0.5", TASKMASTER_RETRY_BASE_S="0.1"
    ) as second:
        heron = run_worker(f"127.0.0.1:{port}", "--name", "heron")
        await online("heron")
        task_id = await call("sleep", 300, max_attempts=2)
        await until_counted(1, status="started")
        end(heron, signal.SIGKILL)
        end(first, signal.SIGKILL)
        async with WireWorker(second).running() as other:
            await until(lambda: other.offers, BEFORE_OVERDUE_S)
            await until_counted(1, pk=task_id, status="complete")


async def test_a_frozen_coordinator_is_declared_dead_and_its_late_reports_are_fenced() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port), **QUICK)
    await serving(f"127.0.0.1:{port}")
    try:
        async with WireWorker(f"127.0.0.1:{port}").running() as loyal:
            loyal.holding = True
            [begun] = await store(max_attempts=3)
            await until_counted(1, pk=begun, status="started")
            [held] = await store(scheduled_at=in_s(4))
            await until_counted(1, pk=held, status="picked")
            os.kill(first.pid, signal.SIGSTOP)
            async with coordinator(**QUICK) as second, WireWorker(second).running() as other:
                await until_counted(2, status="complete", deadline_s=20)
                assert sorted(o.task_id for _, o in other.offers) == sorted([begun, held])
                os.kill(first.pid, signal.SIGCONT)
                receipt = await loyal.complete([loyal.offers[0][1]])
                assert [each.task_id for each in receipt.stale] == [begun]
    finally:
        os.kill(first.pid, signal.SIGCONT)
        await asyncio.to_thread(end, first)
    task = await Task.objects.aget(pk=begun)
    assert (task.attempt, task.lease) == (2, 2)


async def test_a_restarted_coordinator_adopts_running_tasks() -> None:
    port = free_port()
    lone = manage("runcoordinator", "--port", str(port))
    await serving(f"127.0.0.1:{port}")
    async with worker(f"127.0.0.1:{port}", "--concurrency", "2"):
        ids = [await call("sleep", 12), await call("sleep", 1)]
        await until_counted(2, status="started")
        end(lone, signal.SIGKILL)
        # Long enough that the worker's reconnect delays have grown and one task has ended.
        await asyncio.to_thread(wait_in_thread, 6.0)
        async with coordinator(port):
            for task_id in ids:
                task = await until_finished(task_id, 25)
                assert (task.status, task.attempt, task.lease, task.errors) == (
                    "complete", 1, 1, [],
                )  # fmt: skip


# ---- draining -----------------------------------------------------------------------------------


async def test_a_drained_worker_finishes_its_tasks_and_undrain_reactivates_it() -> None:
    async with coordinator() as address:
        heron = run_worker(address, "--name", "heron", "--concurrency", "2")
        await online("heron")
        running_task = await call("sleep", 4)
        await until_counted(1, status="started")
        command = sync_to_async(operate)
        await command("drain")
        async with asyncio.timeout(15):
            while await status_of("heron") != "draining":
                await asyncio.sleep(0.02)
        waiting = await call("echo", 1)
        await command("undrain")
        # It had a free slot all the time, and now takes the task.
        assert (await until_finished(waiting)).worker == "heron"
        await command("drain")
        late = await call("echo", 2)
        assert (await until_finished(running_task)).status == "complete"
        assert await asyncio.wait_for(asyncio.to_thread(heron.wait), 15) == 0
        await until_counted(1, pk=late, status="pending")
        async with asyncio.timeout(15):
            while await status_of("heron") != "offline":
                await asyncio.sleep(0.02)


def operate(action: str) -> None:
    from django.core.management import call_command

    call_command("taskmaster", action, "heron", stdout=open(os.devnull, "w"))  # noqa: SIM115


async def test_a_manual_retry_gives_a_failed_task_another_attempt() -> None:
    async with coordinator() as address, worker(address):
        task_id = await call("print_and_raise")
        await until_finished(task_id)
        await sync_to_async(task_actions.retry)(task_id)
        await until_counted(1, pk=task_id, status="failed", attempt=2)
