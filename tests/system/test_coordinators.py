"""Test coordinators as real processes on one database."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks import task_actions
from taskmaster.tasks.models import Task
from taskmaster.workers.models import Worker
from tests.factories import in_s, stored
from tests.system.fleet import (
    LATE_POLL,
    WireWorker,
    coordinator,
    database_url,
    end,
    free_port,
    manage,
    serving,
)
from tests.system.workers import cancel
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)

store = sync_to_async(stored)
move = sync_to_async(task_actions.reschedule)


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("coordinators", [2, pytest.param(4, marks=pytest.mark.long)])
async def test_several_coordinators_hand_out_each_task_once(coordinators: int) -> None:
    before = await sync_to_async(deadlocks)()
    ids: list[int] = []
    for priority, queue in ((0, "a"), (5, "b"), (0, "c")):
        ids += await store(3_400, priority=priority, queue=queue)
    # No offer is withdrawn, however slow the machine is.
    patient = {"TASKMASTER_ACCEPT_TIMEOUT_S": "60"}
    async with AsyncExitStack() as stack:
        addresses = await asyncio.gather(
            *(stack.enter_async_context(coordinator(**patient)) for _ in range(coordinators))
        )
        workers = [
            await stack.enter_async_context(WireWorker(address).running()) for address in addresses
        ]
        await until_counted(len(ids), status="complete", deadline_s=60)
        handed = Counter(offer.task_id for worker in workers for _, offer in worker.offers)
        shares = [len(worker.offers) for worker in workers]
    assert sorted(handed) == sorted(ids)
    assert set(handed.values()) == {1}
    assert all(shares), f"one coordinator got nothing: {shares}"
    assert await Task.objects.exclude(lease=1, attempt=1).acount() == 0
    assert await sync_to_async(deadlocks)() == before


async def test_a_committed_task_starts_immediately_and_a_rolled_back_one_never() -> None:
    def submit() -> int:
        with transaction.atomic():
            stored()
            transaction.set_rollback(True)
        return stored()[0]

    async with coordinator(**LATE_POLL) as address, WireWorker(address).running() as worker:
        for seen in range(20):
            task_id = await sync_to_async(submit)()
            await until(lambda seen=seen: len(worker.offers) > seen)
            assert worker.offers[-1][1].task_id == task_id
        assert len(worker.offers) == 20
        await until_counted(20, status="complete")


async def test_a_scheduled_task_is_held_and_never_starts_early() -> None:
    async with coordinator() as address, WireWorker(address).running() as worker:
        when = in_s(2.0)
        [task_id] = await store(scheduled_at=when)
        await until_counted(1, pk=task_id, status="picked")
        await until(lambda: worker.offers)
        # A benchmark measures the lateness.
        assert worker.offers[0][0] >= when.timestamp()


async def test_a_held_task_can_be_cancelled_and_rescheduled() -> None:
    async with coordinator() as address, WireWorker(address).running() as worker:
        [doomed, moved] = await store(2, scheduled_at=in_s(3))
        await until_counted(2, status="picked")
        await cancel(doomed)
        await move(moved, in_s(0.2))
        await until_counted(1, pk=moved, status="complete")
        [later] = await store(scheduled_at=in_s(3))
        await until_counted(1, pk=later, status="complete")
        assert [offer.task_id for _, offer in worker.offers] == [moved, later]
    assert (await Task.objects.aget(pk=doomed)).status == "cancelled"


async def test_a_worker_that_does_not_accept_costs_no_attempt() -> None:
    async with (
        coordinator(**LATE_POLL) as address,
        WireWorker(address, slots=4).running() as silent,
    ):
        silent.silent = True
        [task_id] = await store()
        await until(lambda: silent.offers)
        async with WireWorker(address).running() as worker:
            await until(lambda: worker.offers)
            assert [execution.task_id for execution in silent.stale] == [task_id]
            assert worker.offers[0][1].lease > silent.offers[0][1].lease
            await until_counted(1, status="complete")
            # It gets no further offers until it has answered.
            await store(50)
            await until_counted(51, status="complete")
            assert len(silent.offers) == 1
    task = await Task.objects.aget(pk=task_id)
    assert (task.attempt, task.errors) == (1, [])


async def test_a_due_task_does_not_wait_for_a_busy_worker() -> None:
    async with coordinator() as address, WireWorker(address, slots=1).running() as busy:
        busy.holding = True
        await store()
        await until(lambda: busy.offers)
        [due] = await store(scheduled_at=in_s(3))
        await until_counted(1, pk=due, status="picked")
        # It is due, and this worker has no free slot: it is released for another worker.
        await until_counted(1, pk=due, status="pending", deadline_s=10)
        async with coordinator() as other, WireWorker(other).running() as idle:
            await until(lambda: [o for _, o in idle.offers if o.task_id == due])
            await until_counted(1, pk=due, status="complete")
        await busy.complete([busy.offers[0][1]])
        assert len(busy.offers) == 1


async def test_a_report_of_a_stale_lease_changes_nothing_and_is_answered_as_stale() -> None:
    async with coordinator() as address, WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store()
        await until(lambda: worker.offers)
        offer = worker.offers[0][1]
        await until_counted(1, pk=task_id, status="started")
        await cancel(task_id)
        await until(lambda: worker.cancelled)
        receipt = await worker.complete([offer])
        assert [(x.task_id, x.lease) for x in receipt.stale] == [(task_id, offer.lease)]
    task = await Task.objects.aget(pk=task_id)
    assert (task.status, task.result, task.completed_at) == ("cancelled", None, None)


async def test_a_lost_worker_s_task_runs_on_another_worker_and_its_attempt_counts() -> None:
    async with coordinator() as address:
        async with WireWorker(address).running() as lost:
            lost.holding = True
            [task_id] = await store()
            await until_counted(1, pk=task_id, status="started")
        async with WireWorker(address).running() as other:
            await until_counted(1, pk=task_id, status="complete", deadline_s=10)
            assert other.offers[0][1].attempt == 2
    task = await Task.objects.aget(pk=task_id)
    assert [error["class"] for error in task.errors] == ["lost"]


async def until_online(coordinators: int, deadline_s: float = 15.0) -> None:
    """Wait until this many coordinators are online."""

    async def is_reached() -> bool:
        return await Coordinator.objects.filter(online=True).acount() == coordinators

    await until(is_reached, deadline_s)


async def test_a_killed_coordinator_s_held_tasks_are_released() -> None:
    port = free_port()
    first = manage("runcoordinator", "--port", str(port))
    try:
        await serving(f"127.0.0.1:{port}")
        async with WireWorker(f"127.0.0.1:{port}").running():
            await store(5, scheduled_at=in_s(4))
            await until_counted(5, status="picked")
            end(first, signal.SIGKILL)
    except (grpc.aio.AioRpcError, BaseExceptionGroup):
        pass  # The wire worker loses its stream, as expected.
    async with coordinator() as address, WireWorker(address).running():
        await until_counted(5, status="complete", deadline_s=15)
        # Its held tasks are released before it is marked offline.
        await until_online(1)
    assert await Coordinator.objects.filter(online=True).acount() == 0


async def test_a_stopped_coordinator_leaves_no_worker_online() -> None:
    async with coordinator() as address, WireWorker(address).running():
        assert await Worker.objects.filter(status="online").acount() == 1
    assert await Worker.objects.filter(status="online").acount() == 0
    assert await Coordinator.objects.filter(online=True).acount() == 0


async def test_a_bad_hello_is_refused_with_the_rule() -> None:
    async with coordinator() as address:
        worker = WireWorker(address, slots=0)
        with pytest.raises(BaseExceptionGroup) as caught:
            await worker.run()
        error = caught.value.exceptions[0]
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "slots: is 0; it must be from 1 to 10000."


def test_a_coordinator_without_tls_listens_only_on_loopback() -> None:
    process = manage("runcoordinator", "--host", "0.0.0.0")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "0.0.0.0 is not a loopback address" in output
    assert "Traceback" not in output


def test_the_error_for_a_port_in_use_names_the_setting() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = manage("runcoordinator", "--port", str(port))
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}: the port is taken" in output
    assert "TASKMASTER_GRPC_PORT" in output
    assert "Traceback" not in output


async def test_a_task_that_is_not_accepted_goes_to_a_worker_of_another_coordinator() -> None:
    async with (
        coordinator(**LATE_POLL) as address,
        coordinator(**LATE_POLL) as other,
        WireWorker(address).running() as silent,
    ):
        silent.silent = True
        [task_id] = await store()
        await until(lambda: silent.offers)
        async with WireWorker(other).running() as idle:
            await until(lambda: idle.offers)
            await until_counted(1, pk=task_id, status="complete")


async def test_a_due_task_without_a_slot_wakes_another_idle_coordinator() -> None:
    async with (
        coordinator(**LATE_POLL) as address,
        coordinator(**LATE_POLL) as other,
        WireWorker(address, slots=1).running() as busy,
    ):
        busy.holding = True
        await store()
        await until(lambda: busy.offers)
        when = in_s(3)
        [due] = await store(scheduled_at=when)
        await until_counted(1, pk=due, status="picked")
        async with WireWorker(other).running() as idle:
            await until_counted(1, pk=due, status="complete", deadline_s=18)
            assert idle.offers[0][0] >= when.timestamp()
        await busy.complete([busy.offers[0][1]])


async def test_a_new_worker_starts_the_backlog_of_its_queue_immediately() -> None:
    async with (
        coordinator(**LATE_POLL) as address,
        WireWorker(address, queues=("a",)).running(),
    ):
        await store(queue="b")
        async with WireWorker(address, queues=("b",)).running() as late:
            await until(lambda: late.offers)


async def test_an_unmigrated_database_is_reported_and_nothing_starts() -> None:
    name = "test_taskmaster_empty"

    def make(sql: str) -> None:
        with psycopg.connect(database_url(), autocommit=True) as link:
            link.execute(sql)

    await asyncio.to_thread(make, f"CREATE DATABASE {name}")
    try:
        url = f"{database_url().rpartition('/')[0]}/{name}"
        process = manage("runcoordinator", DATABASE_URL=url)
        output, _ = await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 1
        assert "unapplied; run `manage.py migrate`" in output
        assert "Traceback" not in output
    finally:
        await asyncio.to_thread(make, f"DROP DATABASE {name} WITH (FORCE)")
