"""How many connections a fleet needs: as many as its coordinator, and that needs five."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tests.system.fleet import WireWorker
from tests.system.programs import Site
from tests.system.server import Server

WORKERS, SLOTS = 50, 20
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'taskmaster%'"
STARTED = "SELECT count(*) FROM tasks_task WHERE status = 'started'"
COMPLETE = "SELECT count(*) FROM tasks_task WHERE status = 'complete' AND (lease, attempt) = (1, 1)"


class Figures:
    """How many connections were open at most, and what the coordinator says of itself."""

    def __init__(self, server: Server, site: Site) -> None:
        self._server = server
        self._site = site
        self.most = 0

    async def watch(self) -> None:
        while True:
            [count] = await asyncio.to_thread(self._server.ask, OURS)
            self.most = max(self.most, count)
            await asyncio.sleep(0.05)

    def said(self, key: str) -> int:
        """The newest figure of this name that was logged while all tasks ran."""
        lines = self._site.programs["coordinator"].wrote(f" figures .*in_flight={WORKERS * SLOTS} ")
        found = re.search(rf" {key}=(\d+)", lines[-1]) if lines else None
        return int(found[1]) if found else -1


async def beat(worker: WireWorker) -> None:
    """Says every second what the worker runs, five times as often as a real one."""
    while True:
        running = [pb.Execution(task_id=x.task_id, lease=x.lease) for _, x in worker.offers]
        beat = pb.Heartbeat(worker_id=worker.id, slots=SLOTS, busy=len(running), running=running)
        await worker.stub.SendHeartbeat(beat)
        await asyncio.sleep(1)


async def call(address: str, token: str) -> None:
    """Submits the tasks, then asks for one and another all the time, as clients do."""
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
    async with asyncio.timeout(60):
        while await asyncio.to_thread(server.ask, query) != [number]:
            await asyncio.sleep(0.05)


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
                # All at once: each is a transaction.
                await asyncio.gather(
                    *(stack.enter_async_context(worker.running()) for worker in workers)
                )
                going += [group.create_task(beat(worker)) for worker in workers]
                going.append(group.create_task(call(address, site.token)))
                await until_equal(server, STARTED, WORKERS * SLOTS)
                async with asyncio.timeout(30):
                    while figures.said("connections") < 0:
                        await asyncio.sleep(0.1)
                for task in going:
                    task.cancel()
            await asyncio.gather(
                *(worker.complete([offer for _, offer in worker.offers]) for worker in workers)
            )
            await until_equal(server, COMPLETE, WORKERS * SLOTS)
    finally:
        await asyncio.to_thread(site.close)
    # The pool's two, the listener, and Django's for the client calls.
    assert 3 < figures.most <= 5
    assert 3 < figures.said("connections") <= 5
    assert figures.said("server_connections") >= figures.said("connections")
    assert figures.said("db_trouble") == 0
    assert not coordinator.wrote(r"Traceback| (WARNING|ERROR|CRITICAL) ")
