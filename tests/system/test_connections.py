"""Test the database connections of a fleet: only the coordinator has any, at most five."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from tests.system.fleet import WireWorker
from tests.system.programs import Site
from tests.system.server import Server
from tests.waiting import until

WORKERS, SLOTS = 50, 20
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'taskmaster%'"
STARTED = "SELECT count(*) FROM taskmaster_tasks_task WHERE status = 'started'"
COMPLETE = (
    "SELECT count(*) FROM taskmaster_tasks_task "
    "WHERE status = 'complete' AND (lease, attempt) = (1, 1)"
)


class Figures:
    """The maximum number of open connections, and the coordinator's logged figures."""

    def __init__(self, server: Server, site: Site) -> None:
        self._server = server
        self._site = site
        self.most = 0

    async def watch(self) -> None:
        while True:
            [count] = await asyncio.to_thread(self._server.ask, OURS)
            self.most = max(self.most, count)
            await asyncio.sleep(0.05)

    def logged_figure(self, key: str) -> int:
        """Return the newest figure of this name that was logged while all tasks ran."""
        lines = self._site.programs["coordinator"].wrote(f" figures .*in_flight={WORKERS * SLOTS} ")
        found = re.search(rf" {key}=(\d+)", lines[-1]) if lines else None
        return int(found[1]) if found else -1


async def beat(worker: WireWorker) -> None:
    """Send heartbeats every second, five times as often as a real worker."""
    while True:
        running = [
            pb.Execution(task_id=x.task_id, lease=x.lease, token=x.token) for _, x in worker.offers
        ]
        beat = pb.Heartbeat(worker_id=worker.id, slots=SLOTS, busy=len(running), running=running)
        await worker.stub.SendHeartbeat(beat)
        await asyncio.sleep(1)


async def call(address: str, token: str) -> None:
    """Submit the tasks, then query tasks constantly, like clients."""
    metadata = (("authorization", f"Token {token}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.TaskServiceStub(channel)
        task = pb.SubmitTaskRequest(name="shell", kwargs_json='{"command": "true"}')
        bulk = pb.SubmitTasksRequest(tasks=[task] * (WORKERS * SLOTS))
        stored = await stub.SubmitTasks(iter([bulk]), metadata=metadata)
        while True:
            asked = [pb.GetTaskRequest(task_id=task_id) for task_id in stored.task_ids[:10]]
            await asyncio.gather(*(stub.GetTask(each, metadata=metadata) for each in asked))
            await asyncio.sleep(0.1)


async def until_equal(server: Server, query: str, number: int) -> None:
    async def is_equal() -> bool:
        return await asyncio.to_thread(server.ask, query) == [number]

    await until(is_equal, 60)


async def test_fifty_workers_with_a_thousand_running_tasks_need_five_connections(
    server: Server, tmp_path: Path
) -> None:
    site = Site(tmp_path, server.token, {"DATABASE_URL": server.url})
    figures = Figures(server, site)
    coordinator = await asyncio.to_thread(site.run_coordinator)
    address = f"127.0.0.1:{site.coordinator_port}"
    try:
        async with AsyncExitStack() as stack:
            workers = [WireWorker(address, slots=SLOTS) for _ in range(WORKERS)]
            for worker in workers:
                worker.holding = True
            async with asyncio.TaskGroup() as group:
                going = [group.create_task(figures.watch())]
                # Concurrently: each report is a transaction.
                await asyncio.gather(
                    *(stack.enter_async_context(worker.running()) for worker in workers)
                )
                going += [group.create_task(beat(worker)) for worker in workers]
                going.append(group.create_task(call(address, site.token)))
                await until_equal(server, STARTED, WORKERS * SLOTS)
                async with asyncio.timeout(30):
                    while figures.logged_figure("connections") < 0:
                        await asyncio.sleep(0.1)
                for task in going:
                    task.cancel()
            await asyncio.gather(
                *(worker.complete([offer for _, offer in worker.offers]) for worker in workers)
            )
            await until_equal(server, COMPLETE, WORKERS * SLOTS)
    finally:
        await asyncio.to_thread(site.close)
    # Two of the pool, the listener, and Django's for the client calls.
    assert 3 < figures.most <= 5
    assert 3 < figures.logged_figure("connections") <= 5
    assert figures.logged_figure("server_connections") >= figures.logged_figure("connections")
    assert figures.logged_figure("db_errors") == 0
    assert not coordinator.wrote(r"Traceback| (WARNING|ERROR|CRITICAL) ")
