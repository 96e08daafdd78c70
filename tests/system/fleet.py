"""Real processes on the test database, and a worker made of nothing but the wire."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import grpc
from django.db import connection
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc

ROOT = Path(__file__).resolve().parent.parent.parent


def database_url() -> str:
    """The URL of the test database, for other processes."""
    part = connection.settings_dict
    secret = quote(part["PASSWORD"], safe="")
    return f"postgresql://{part['USER']}:{secret}@{part['HOST']}:{part['PORT']}/{part['NAME']}"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**extra: str) -> dict[str, str]:
    """The environment of a process of the fleet."""
    return {**os.environ, "DATABASE_URL": database_url(), "PYTHONUNBUFFERED": "1", **extra}


def manage(*arguments: str, **extra: str) -> subprocess.Popen[str]:
    """A `manage.py` command, running."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Sends a signal and waits for the exit code."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(timeout=45)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


async def until(holds: Callable[[], object], deadline_s: float = 15.0) -> None:
    """Waits for a condition. Raises TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while not holds():
            await asyncio.sleep(0.01)


def count(**filters: object) -> int:
    """How many tasks there are of this kind."""
    from tasks.models import Task

    return Task.objects.filter(**filters).count()


async def acount(**filters: object) -> int:
    """The same inside a running loop."""
    from tasks.models import Task

    return await Task.objects.filter(**filters).acount()


async def until_counted(number: int, deadline_s: float = 30.0, **filters: object) -> None:
    """Waits until so many tasks are of this kind."""
    async with asyncio.timeout(deadline_s):
        while await acount(**filters) != number:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def coordinator(port: int | None = None, **extra: str) -> AsyncIterator[str]:
    """A coordinator process that serves; yields its address."""
    port = port or free_port()
    process = manage("runcoordinator", "--port", str(port), **extra)
    try:
        await serving(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        code = await asyncio.to_thread(end, process)
        assert process.stdout is not None
        output = process.stdout.read()
        assert code == 0, output
        assert "Traceback" not in output, output


async def serving(address: str, deadline_s: float = 20.0) -> None:
    """Waits until a coordinator answers its health check."""
    async with asyncio.timeout(deadline_s), grpc.aio.insecure_channel(address) as channel:
        while True:
            with suppress(grpc.aio.AioRpcError):
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                return
            await asyncio.sleep(0.05)


class WireWorker:
    """Speaks the protocol and runs nothing: says at once that each task is complete."""

    def __init__(self, address: str, *, slots: int = 8, queues: tuple[str, ...] = ()) -> None:
        self.address = address
        self.slots = slots
        self.queues = queues
        self.id = str(uuid4())
        #: (when it came, offer)
        self.offers: list[tuple[float, pb.Offer]] = []
        self.stale: list[pb.Execution] = []
        self.cancelled: list[pb.Execution] = []
        #: Accepts nothing while set.
        self.silent = False
        #: Starts, and ends only when told to.
        self.holding = False
        #: Sends heartbeats that name what it runs.
        self.beating = True
        self._runs: set[tuple[int, int]] = set()
        self.joined = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WireWorker]:
        """Connected for as long as the context lasts."""
        task = asyncio.create_task(self.run())
        try:
            async with asyncio.timeout(15):
                await self.joined.wait()
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def run(self) -> None:
        """Receives until cancelled."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            self.stub = rpc.WorkerServiceStub(channel)
            hello = pb.WorkerHello(
                worker_id=self.id,
                name=f"wire-{self.id[:4]}",
                host="here",
                pid=1,
                pool="threads",
                slots=self.slots,
                queues=self.queues,
                protocol=1,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat())
                async for message in self.stub.ReceiveTasks(hello):
                    if message.WhichOneof("message") == "welcome":
                        self.beat_s = message.welcome.heartbeat_interval_ms / 1_000
                    self.joined.set()
                    self.stale.extend(message.stale.executions)
                    self.cancelled.extend(message.cancel.executions)
                    now = time.time()
                    self.offers.extend((now, offer) for offer in message.offers.offers)
                    if message.offers.offers and not self.silent:
                        group.create_task(self._answer(list(message.offers.offers)))

    async def _beat(self) -> None:
        await self.joined.wait()
        while True:
            await asyncio.sleep(self.beat_s)
            if self.beating:
                with suppress(grpc.aio.AioRpcError):
                    running = [pb.Execution(task_id=a, lease=b) for a, b in self._runs]
                    await self.beat(running=running)

    async def _answer(self, offers: list[pb.Offer]) -> None:
        receipt = await (self.start(offers) if self.holding else self.complete(offers))
        self.stale.extend(receipt.stale)

    async def start(self, offers: list[pb.Offer]) -> pb.StatusReceipt:
        """Accepts."""
        self._runs.update((x.task_id, x.lease) for x in offers)
        now = int(time.time() * 1e6)
        started = [
            pb.Started(task_id=x.task_id, lease=x.lease, attempt=x.attempt, started_at_us=now)
            for x in offers
        ]
        return await self.send(started=started)

    async def complete(self, offers: list[pb.Offer]) -> pb.StatusReceipt:
        """Reports that these have returned 1."""
        self._runs.difference_update((x.task_id, x.lease) for x in offers)
        now = int(time.time() * 1e6)
        completed = [
            pb.Completed(
                task_id=x.task_id,
                lease=x.lease,
                attempt=x.attempt,
                started_at_us=now,
                finished_at_us=now,
                result="1",
            )
            for x in offers
        ]
        return await self.send(completed=completed)

    async def beat(self, **fields: object) -> pb.HeartbeatReply:
        """A heartbeat; of what runs it says what it is told to."""
        return await self.stub.SendHeartbeat(
            pb.Heartbeat(worker_id=self.id, slots=self.slots, **fields),  # type: ignore[arg-type]
            timeout=2,
        )

    async def send(self, **reports: object) -> pb.StatusReceipt:
        """Any report."""
        now = int(time.time() * 1e6)
        update = pb.StatusUpdate(worker_id=self.id, now_us=now, **reports)  # type: ignore[arg-type]
        return await self.stub.UpdateTaskStatus(update)
