"""Run real processes on the test database, and a worker that speaks only the wire protocol."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import grpc
from django.db import connection
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc

ROOT = Path(__file__).resolve().parent.parent.parent


def database_url() -> str:
    """Return the URL of the test database for other processes."""
    part = connection.settings_dict
    secret = quote(part["PASSWORD"], safe="")
    return f"postgresql://{part['USER']}:{secret}@{part['HOST']}:{part['PORT']}/{part['NAME']}"


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a process of the fleet."""
    return {**os.environ, "DATABASE_URL": database_url(), "PYTHONUNBUFFERED": "1", **extra}


def manage(*arguments: str, **extra: str) -> subprocess.Popen[str]:
    """Start a `manage.py` command."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal and return the exit code."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(timeout=45)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def count(**filters: object) -> int:
    """Return the number of tasks that match the filters."""
    from taskmaster.tasks.models import Task

    return Task.objects.filter(**filters).count()


async def acount(**filters: object) -> int:
    """Return the same inside a running event loop."""
    from taskmaster.tasks.models import Task

    return await Task.objects.filter(**filters).acount()


#: The settings of a coordinator whose safety poll comes too late for every deadline of a test, so
#: that only a NOTIFY or an event of its own can have woken it.
LATE_POLL = {"TASKMASTER_POLL_INTERVAL_S": "30"}


@asynccontextmanager
async def coordinator(port: int | None = None, **extra: str) -> AsyncIterator[str]:
    """Run a coordinator; yield its address when it serves."""
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
    """Wait until a coordinator answers its health check."""
    async with asyncio.timeout(deadline_s), grpc.aio.insecure_channel(address) as channel:
        while True:
            with suppress(grpc.aio.AioRpcError):
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                return
            await asyncio.sleep(0.05)


class WireWorker:
    """A client of the worker protocol without an executor: it immediately reports each task
    complete.
    """

    def __init__(
        self,
        address: str,
        *,
        slots: int = 8,
        queues: tuple[str, ...] = (),
        names: tuple[str, ...] | None = None,
    ) -> None:
        self.address = address
        #: The task names to announce. None: speak protocol 1, which announces none.
        self.names = names
        self.slots = slots
        self.queues = queues
        self.id = str(uuid4())
        #: (time of arrival, offer)
        self.offers: list[tuple[float, pb.Offer]] = []
        self.stale: list[pb.Execution] = []
        self.cancelled: list[pb.Execution] = []
        #: Accepts no offers while set.
        self.silent = False
        #: Starts tasks, but completes them only on request.
        self.holding = False
        #: Sends heartbeats that name its running tasks.
        self.beating = True
        self._runs: set[tuple[int, int]] = set()
        #: The tokens of the offers. Every message about an execution names that of its offer.
        self.tokens: dict[tuple[int, int], bytes] = {}
        self.joined = asyncio.Event()
        self.welcome = pb.Welcome()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WireWorker]:
        """Stay connected as long as the context lasts."""
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
        """Receive until cancelled."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            self.stub = rpc.WorkerServiceStub(channel)
            hello = pb.WorkerHello(
                worker_id=self.id,
                name=f"wire-{self.id[:4]}",
                host="here",
                pid=1,
                executor="thread",
                slots=self.slots,
                queues=self.queues,
                protocol=1 if self.names is None else 2,
                tasks=self.names or (),
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat())
                async for message in self.stub.ReceiveTasks(hello):
                    if message.WhichOneof("message") == "welcome":
                        self.welcome = message.welcome
                        self.beat_s = message.welcome.heartbeat_interval_ms / 1_000
                    self.joined.set()
                    self.stale.extend(message.stale.executions)
                    self.cancelled.extend(message.cancel.executions)
                    now = time.time()
                    self.tokens.update(
                        ((each.task_id, each.lease), each.token) for each in message.offers.offers
                    )
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

    async def start(self, offers: list[pb.Offer]) -> pb.StatusAcknowledgement:
        """Accept the offers."""
        self._runs.update((x.task_id, x.lease) for x in offers)
        now = int(time.time() * 1e6)
        started = [
            pb.Started(task_id=x.task_id, lease=x.lease, attempt=x.attempt, started_at_us=now)
            for x in offers
        ]
        return await self.send(started=started)

    async def complete(self, offers: list[pb.Offer]) -> pb.StatusAcknowledgement:
        """Report that these tasks have returned 1."""
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
        """Send a heartbeat with the given fields."""
        beat = pb.Heartbeat(worker_id=self.id, slots=self.slots, **fields)  # type: ignore[arg-type]
        self._add_tokens(beat.running)
        return await self.stub.SendHeartbeat(beat, timeout=10)

    def _add_tokens(self, executions: Iterable[Any]) -> None:
        for each in executions:
            each.token = each.token or self.tokens.get((each.task_id, each.lease), b"")

    async def send(self, **reports: object) -> pb.StatusAcknowledgement:
        """Send a report."""
        now = int(time.time() * 1e6)
        update = pb.StatusUpdate(worker_id=self.id, now_us=now, **reports)  # type: ignore[arg-type]
        for kind in ("started", "completed", "failed", "output", "declined"):
            self._add_tokens(getattr(update, kind))
        return await self.stub.UpdateTaskStatus(update)
