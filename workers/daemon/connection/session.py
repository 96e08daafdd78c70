"""Maintain the connection to a coordinator: hello, stream and reconnects."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import Callable

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.backoff import Backoff
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.daemon.connection.addresses import CoordinatorAddresses
from taskmaster.workers.daemon.connection.contact_deadline import ContactDeadline
from taskmaster.workers.daemon.connection.grpc_channel import (
    is_tls_failure,
    metadata,
    open_channel,
    refusal,
)
from taskmaster.workers.daemon.connection.heartbeats import HeartbeatLoop
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.options import WorkerOptions
from taskmaster.workers.daemon.resources.usage import UsageMeter
from taskmaster.workers.daemon.scheduler import AttemptScheduler

log = logging.getLogger(__name__)

#: Version of the protocol between workers and coordinators. A coordinator also accepts the version
#: before its own.
PROTOCOL = 2
#: Pause after the first round of failed connections. The setting `reconnect_max_s` limits it.
_RECONNECT_S = 0.1
#: Time-outs for the first message of a stream and for the acknowledgement of reports.
_WELCOME_TIMEOUT_S = 5.0
_UPDATE_TIMEOUT_S = 30.0
_UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
#: The coordinator does not know this worker. A hello registers it again or shows that its join
#: token is revoked.
_NOT_REGISTERED = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAUTHENTICATED)


class Session:
    """Keep this worker connected to one of the coordinators."""

    def __init__(
        self,
        options: WorkerOptions,
        worker_id: str,
        scheduler: AttemptScheduler,
        reports: ReportQueue,
        usage_meter: UsageMeter,
        reconnect_max_s: float,
        *,
        on_command: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._options = options
        self._worker_id = worker_id
        self._scheduler = scheduler
        self._reports = reports
        self._backoff = Backoff(_RECONNECT_S, reconnect_max_s)
        self._on_command = on_command
        self._clock = clock
        self._uniform = uniform
        self._addresses = CoordinatorAddresses(
            options.coordinators, tls=options.access.ca is not None, clock=clock
        )
        self._metadata = metadata(options.access)
        #: Stub of the current connection. None while there is none.
        self._stub: rpc.WorkerServiceAsyncStub | None = None
        #: Set while a coordinator has welcomed this worker.
        self._connected = asyncio.Event()
        #: The stream of the current connection.
        self._call: grpc.aio.UnaryStreamCall[pb.WorkerHello, pb.CoordinatorMessage] | None = None
        self._leaving = False
        #: Whether the current connection was welcomed. A failure after that is not the address's.
        self._welcomed = False
        self.contact_deadline = ContactDeadline(clock, scheduler.contact_lost)
        self._heartbeats = HeartbeatLoop(
            worker_id,
            scheduler,
            usage_meter,
            self.contact_deadline,
            self._metadata,
            clock,
            unfinished=self._unfinished,
            on_reply=self._handle_heartbeat_reply,
        )

    async def run(self) -> None:
        """Stay connected until `leave` is called.

        Raises ConfigurationError when a coordinator refuses the hello of the worker or its join
        token.
        """
        while not self._leaving:
            address = self._addresses.current
            try:
                await self._serve(address)
            except grpc.aio.AioRpcError as error:
                self._handle_error(address, error)
            self._scheduler.drop_offers()
            if self._leaving:
                return
            self._addresses.rotate(failed=not self._welcomed)
            self._welcomed = False
            pause_s = self._backoff.pause_s(self._addresses.failed_rounds + 1)
            await asyncio.sleep(self._uniform(0.5, 1.0) * pause_s)

    async def send(self, update: pb.StatusUpdate) -> pb.StatusAcknowledgement:
        """Send reports to the connected coordinator. Wait while there is none."""
        await self._connected.wait()
        stub = self._stub
        if stub is None:
            # The connection was lost between the event and the resumption of this coroutine.
            return await self.send(update)
        try:
            return await stub.UpdateTaskStatus(
                update, timeout=_UPDATE_TIMEOUT_S, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOT_REGISTERED:
                self._reconnect()
            raise

    def report_draining(self) -> None:
        """Send a heartbeat now, to report the change of the draining state."""
        self._heartbeats.send_now()

    async def leave(self, timeout_s: float) -> None:
        """Send a last heartbeat if connected, close the stream, and do not reconnect."""
        self._leaving = True
        if self._stub is not None:
            await self._heartbeats.send_last(self._stub, timeout_s)
        self._reconnect()

    def _reconnect(self) -> None:
        """End the stream. `run` then connects again, unless the worker leaves."""
        if self._call is not None:
            self._call.cancel()

    def _handle_error(self, address: str, error: grpc.aio.AioRpcError) -> None:
        """Log the end of a connection. Raises ConfigurationError if the worker was refused."""
        if (reason := refusal(error)) is not None:
            raise ConfigurationError(f"The coordinator {address} refused this worker: {reason}")
        if self._welcomed and not self._leaving:
            log.warning(
                "connection to the coordinator lost",
                extra={"coordinator": address, "code": error.code().name},
            )
        elif is_tls_failure(error) or error.code() not in _UNREACHABLE:
            self._addresses.record_error(address, str(error.details()))

    async def _serve(self, address: str) -> None:
        """Run one connection, from the hello until it is lost."""
        async with open_channel(address, self._options.access) as channel:
            stub = rpc.WorkerServiceStub(channel)
            hello_at = self._clock()
            call = self._call = stub.ReceiveTasks(self._hello(), metadata=self._metadata)
            loop = asyncio.get_running_loop()
            # A timer cancels the call. Cancelling a read with a time-out would leak in gRPC.
            welcome_timer = loop.call_later(_WELCOME_TIMEOUT_S, call.cancel)
            heartbeats: asyncio.Task[None] | None = None
            try:
                async for message in call:
                    if message.WhichOneof("message") == "welcome":
                        welcome_timer.cancel()
                        self._stub = stub
                        self.contact_deadline.welcomed(hello_at, message.welcome)
                        self._accept_welcome(message.welcome, address)
                        if heartbeats is not None:
                            heartbeats.cancel()
                        heartbeats = asyncio.create_task(
                            self._keep_alive(stub, message.welcome), name="heartbeats"
                        )
                    else:
                        self._handle_message(message)
            except asyncio.CancelledError:
                # `call.cancel()` raises this here, too. Pass on only a cancellation of this task.
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
            finally:
                welcome_timer.cancel()
                self._stub = self._call = None
                self._connected.clear()
                call.cancel()
                if heartbeats is not None:
                    heartbeats.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await heartbeats

    def _hello(self) -> pb.WorkerHello:
        return pb.WorkerHello(
            worker_id=self._worker_id,
            name=self._options.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._options.queues,
            executor=self._options.executor,
            slots=self._options.slots,
            running=self._unfinished(),
            protocol=PROTOCOL,
            pool=self._options.pool,
            tasks=sorted(self._scheduler.names),
        )

    def _unfinished(self) -> list[pb.Execution]:
        """Return the running attempts, and the ended ones whose end is not acknowledged."""
        attempts = [*self._scheduler.attempts, *self._reports.unacknowledged_ends]
        tokens = {attempt.key: attempt.token for attempt in attempts}
        return [
            pb.Execution(task_id=task_id, lease=lease, token=token)
            for (task_id, lease), token in tokens.items()
        ]

    def _accept_welcome(self, welcome: pb.Welcome, address: str) -> None:
        self._welcomed = True
        self._addresses.connected()
        self._addresses.update(welcome.coordinators)
        self._scheduler.configure(
            accept_timeout_s=welcome.accept_timeout_ms / 1_000,
            output_max_bytes=welcome.output_max_bytes,
        )
        self._connected.set()
        if welcome.protocol_max > PROTOCOL:
            log.warning(
                "worker is older than its coordinator, whose next release will refuse it",
                extra={"protocol": PROTOCOL, "supported": welcome.protocol_max},
            )
        log.info(
            "worker ready",
            extra={
                "worker": self._options.name,
                "coordinator": address,
                "executor": self._options.executor,
                "slots": self._options.slots,
                "pid": os.getpid(),
            },
        )

    def _handle_message(self, message: pb.CoordinatorMessage) -> None:
        match message.WhichOneof("message"):
            case "offers":
                self._scheduler.offer(
                    message.offers.offers, confirm_first=self.contact_deadline.overdue
                )
            case "cancel":
                self._scheduler.cancel(message.cancel.executions)
            case "stale":
                self._scheduler.stop_stale(message.stale.executions)
            case "drain" | "undrain" | "stop" | "kill" as command:
                self._on_command(command)

    async def _keep_alive(self, stub: rpc.WorkerServiceAsyncStub, welcome: pb.Welcome) -> None:
        await self._heartbeats.run(stub, welcome.heartbeat_interval_ms / 1_000)
        self._reconnect()

    def _handle_heartbeat_reply(self, reply: pb.HeartbeatReply) -> None:
        self._on_command("drain" if reply.drain else "undrain")
        self._scheduler.stop_stale(reply.stale)
        self._addresses.update(reply.coordinators)
