"""Serve a session of a worker, and hold the parts of that worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.connection.session import Session
from taskmaster.workers.daemon.options import WorkerOptions
from taskmaster.workers.daemon.resources.usage import UsageMeter
from taskmaster.workers.daemon.scheduler import AttemptScheduler
from taskmaster.workers.daemon.slots.shell import ShellSlots

INTERVAL_MS = 100


class Service(rpc.WorkerServiceServicer):
    """Accept every worker as a coordinator does, and keep the received messages."""

    def __init__(self) -> None:
        self.hellos: list[pb.WorkerHello] = []
        self.heartbeats: list[pb.Heartbeat] = []
        self.updates: list[pb.StatusUpdate] = []
        self.reply = pb.HeartbeatReply()
        self.refusal = ""
        self.send: asyncio.Queue[pb.CoordinatorMessage] = asyncio.Queue()

    async def ReceiveTasks(self, request: pb.WorkerHello, context: Any) -> Any:  # noqa: N802
        if self.refusal:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.refusal)
        self.hellos.append(request)
        welcome = pb.Welcome(
            heartbeat_interval_ms=INTERVAL_MS, accept_timeout_ms=2_000, lost_contact_ms=60_000
        )
        yield pb.CoordinatorMessage(welcome=welcome)
        while True:
            yield await self.send.get()

    async def SendHeartbeat(self, request: pb.Heartbeat, context: Any) -> Any:  # noqa: N802
        self.heartbeats.append(request)
        return self.reply

    async def UpdateTaskStatus(self, request: pb.StatusUpdate, context: Any) -> Any:  # noqa: N802
        self.updates.append(request)
        return pb.StatusAcknowledgement()


@asynccontextmanager
async def coordinator() -> AsyncIterator[tuple[Service, str]]:
    service, server = Service(), grpc.aio.server()
    rpc.add_WorkerServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield service, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class Worker:
    """Hold a session with the parts that it uses."""

    def __init__(self, *addresses: str) -> None:
        options = WorkerOptions("heron", addresses, ("mail",), "process", 2)
        self.reports = ReportQueue("w")
        self.scheduler = AttemptScheduler(2, self.reports)
        # Commands need no child before they run, and these tests run none.
        ways = (self.scheduler.ended, self.scheduler.add_output)
        slots: Any = ShellSlots(None, *ways)  # type: ignore[arg-type]
        self.scheduler.open_slots(slots, slots, frozenset({"some.task", "shell"}))
        self.commands: list[str] = []
        self.session = Session(
            options,
            "w",
            self.scheduler,
            self.reports,
            UsageMeter(list),
            0.2,
            on_command=self.commands.append,
        )


@asynccontextmanager
async def worker(*addresses: str) -> AsyncIterator[Worker]:
    made = Worker(*addresses)
    running = asyncio.create_task(made.session.run())
    try:
        yield made
        await made.session.leave(5)
        await asyncio.wait_for(running, 5)
    finally:
        running.cancel()
