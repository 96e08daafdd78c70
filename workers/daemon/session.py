"""The connection to a coordinator: hello, the stream, heartbeats; and the way to the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterable

import grpc

from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tasks.errors import ConfigurationError
from workers.daemon.channel import metadata, not_understood, open_channel, refusal
from workers.daemon.contact import Contact
from workers.daemon.executor import Executor
from workers.daemon.gauge import Gauge
from workers.daemon.options import Options
from workers.daemon.reports import Reports
from workers.joining.addresses import usable

log = logging.getLogger(__name__)

PROTOCOL = 1
_BACKOFF_S = 0.1
_WELCOME_S = 5.0
_UPDATE_TIMEOUT_S = 30.0
#: Heartbeats that may fail in a row on a stream that seems to live.
_HEARTBEATS_LOST = 2
_SAY_AGAIN_S = 60.0
_NOBODY_THERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
#: The coordinator does not know the worker: it has come back, or its join token is revoked.
_SAY_HELLO = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAUTHENTICATED)


class Session:
    """Keeps one coordinator connected, whichever it is."""

    def __init__(
        self,
        options: Options,
        worker_id: str,
        executor: Executor,
        reports: Reports,
        gauge: Gauge,
        reconnect_max_s: float,
        *,
        on_command: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._options = options
        self._worker_id = worker_id
        self._executor = executor
        self._reports = reports
        self._gauge = gauge
        self._reconnect_max_s = reconnect_max_s
        self._on_command = on_command
        self._clock = clock
        self._uniform = uniform
        self._addresses = list(options.coordinators)
        self._metadata = metadata(options.access)
        self._stub: rpc.WorkerServiceAsyncStub | None = None
        self._connected = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._call: grpc.aio.UnaryStreamCall[pb.WorkerHello, pb.CoordinatorMessage] | None = None
        self._said_at: float | None = None
        #: Why the last one that answered refused.
        self._why = ""
        self._leaving = False
        self._welcomed = False
        self.contact = Contact(clock, executor.lose_contact)

    # ---- connecting -------------------------------------------------------------------------

    async def run(self) -> None:
        """Stays connected until `leave`.

        Raises ConfigurationError when a coordinator refuses what the worker says of itself, or
        its join token.
        """
        failures = 0
        while not self._leaving:
            address = self._addresses[0]
            try:
                await self._serve(address)
            except grpc.aio.AioRpcError as error:
                self._note_loss(address, error)
            self._executor.forget_offers()
            if self._leaving:
                return
            failures = 0 if self._welcomed else failures + 1
            self._welcomed = False
            self._addresses.append(self._addresses.pop(0))
            if failures and failures % len(self._addresses) == 0:
                self._say_unreachable()
            rounds = failures // len(self._addresses)
            pause_s = min(self._reconnect_max_s, _BACKOFF_S * 2 ** min(rounds, 10))
            await asyncio.sleep(self._uniform(0.5, 1.0) * pause_s)

    def _note_loss(self, address: str, error: grpc.aio.AioRpcError) -> None:
        if (why := refusal(error)) is not None:
            raise ConfigurationError(f"The coordinator {address} refuses: {why}")
        if self._welcomed and not self._leaving:
            log.warning(
                "coordinator lost", extra={"coordinator": address, "code": error.code().name}
            )
        elif not_understood(error) or error.code() not in _NOBODY_THERE:
            self._why = f"{address}: {error.details()}"

    def _say_unreachable(self) -> None:
        now = self._clock()
        if self._said_at is None or now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            details = {"coordinators": ",".join(self._addresses)}
            if self._why:
                details["refused_by"] = self._why
            log.warning("no coordinator reachable, waiting for one", extra=details)

    async def _serve(self, address: str) -> None:
        """One connection, from hello to its loss."""
        async with open_channel(address, self._options.access) as channel:
            stub = rpc.WorkerServiceStub(channel)
            hello_at = self._clock()
            call = self._call = stub.ReceiveTasks(self._hello(), metadata=self._metadata)
            loop = asyncio.get_running_loop()
            # Not a time-out around the read: cancelling a read leaks in gRPC.
            watch = loop.call_later(_WELCOME_S, call.cancel)
            beating: asyncio.Task[None] | None = None
            try:
                async for message in call:
                    if message.WhichOneof("message") == "welcome":
                        watch.cancel()
                        self._stub = stub
                        self.contact.welcomed(hello_at, message.welcome)
                        beating = self._welcome(message.welcome, address, beating)
                    else:
                        self._take(message)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
            finally:
                watch.cancel()
                self._stub = self._call = None
                self._connected.clear()
                call.cancel()
                if beating is not None:
                    beating.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await beating

    def _hello(self) -> pb.WorkerHello:
        return pb.WorkerHello(
            worker_id=self._worker_id,
            name=self._options.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._options.queues,
            pool=self._options.pool,
            slots=self._options.slots,
            running=_executions(self._known()),
            protocol=PROTOCOL,
            pool_name=self._options.pool_name,
        )

    def _known(self) -> Iterable[tuple[int, int]]:
        """What runs, and what has ended without anybody having confirmed it."""
        return dict.fromkeys([*self._executor.running, *self._reports.unacknowledged_ends])

    # ---- the stream -------------------------------------------------------------------------

    def _welcome(
        self, welcome: pb.Welcome, address: str, beating: asyncio.Task[None] | None
    ) -> asyncio.Task[None]:
        self._welcomed = True
        self._said_at, self._why = None, ""
        self._executor.accept_timeout_s = welcome.accept_timeout_ms / 1_000
        self._executor.output_max_bytes = welcome.output_max_bytes
        self._learn(welcome.coordinators)
        self._connected.set()
        log.info(
            "worker ready",
            extra={
                "worker": self._options.name,
                "coordinator": address,
                "pool": self._options.pool,
                "slots": self._options.slots,
                "pid": os.getpid(),
            },
        )
        if beating is not None:
            beating.cancel()
        return asyncio.create_task(
            self._beat(welcome.heartbeat_interval_ms / 1_000), name="heartbeats"
        )

    def _take(self, message: pb.CoordinatorMessage) -> None:
        match message.WhichOneof("message"):
            case "offers":
                self._executor.offer(message.offers.offers, doubtful=self.contact.doubtful)
            case "cancel":
                self._executor.cancel(message.cancel.executions)
            case "stale":
                self._executor.stale(message.stale.executions)
            case "drain" | "undrain" | "stop" | "kill" as wanted:
                self._on_command(wanted)

    def _learn(self, addresses: Iterable[str]) -> None:
        """Adds coordinators that are new, and drops those that were learned and are gone."""
        tls = self._options.access.ca is not None
        live = usable(addresses, self._options.coordinators, tls=tls)
        known = {*self._options.coordinators, *live}
        kept = [address for address in self._addresses if address in known]
        self._addresses = [*kept, *(address for address in live if address not in kept)]

    # ---- what the worker calls --------------------------------------------------------------

    async def send(self, update: pb.StatusUpdate) -> pb.StatusReceipt:
        """Sends reports to the coordinator of the moment; waits while there is none."""
        await self._connected.wait()
        stub = self._stub
        if stub is None:
            return await self.send(update)
        try:
            return await stub.UpdateTaskStatus(
                update, timeout=_UPDATE_TIMEOUT_S, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() in _SAY_HELLO:
                self._reconnect()
            raise

    async def _beat(self, interval_s: float) -> None:
        lost = 0
        while lost < _HEARTBEATS_LOST:
            stub = self._stub
            if stub is None:
                return
            # Before the state is read: what changes from here on has a heartbeat of its own.
            self._beat_now.clear()
            sent_at = self._clock()
            try:
                reply = await stub.SendHeartbeat(
                    self._heartbeat(), timeout=interval_s, metadata=self._metadata
                )
            except grpc.aio.AioRpcError as error:
                lost += 1
                log.warning("heartbeat failed", extra={"code": error.code().name})
            else:
                lost = 0
                self.contact.answered(sent_at, durable=not reply.unwritten)
                self._on_command("drain" if reply.drain else "undrain")
                self._executor.stale(reply.stale)
                self._learn(reply.coordinators)
                if reply.unknown_worker:
                    break
            # What the answer took is part of the interval.
            pause_s = max(0.0, sent_at + interval_s - self._clock())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._beat_now.wait(), pause_s)
        self._reconnect()

    def _heartbeat(self) -> pb.Heartbeat:
        executor, load = self._executor, self._gauge.read()
        return pb.Heartbeat(
            worker_id=self._worker_id,
            slots=self._options.slots,
            running=_executions(self._known()),
            busy=len(executor.running),
            rss_bytes=load.rss_bytes,
            cpu=load.cpu,
            tasks_done=executor.done,
            tasks_failed=executor.failed,
            loop_lag_ms=load.loop_lag_ms,
            draining=executor.draining,
        )

    def say_draining(self) -> None:
        """Tells the coordinator now that nothing new is taken."""
        self._beat_now.set()

    def leave(self) -> None:
        """Closes the stream and comes back no more."""
        self._leaving = True
        self._reconnect()

    def _reconnect(self) -> None:
        if self._call is not None:
            self._call.cancel()


def _executions(keys: Iterable[tuple[int, int]]) -> list[pb.Execution]:
    return [pb.Execution(task_id=task_id, lease=lease) for task_id, lease in keys]
