"""Send the heartbeats of a worker to its coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.workers.daemon.connection.contact_deadline import ContactDeadline
from taskmaster.workers.daemon.connection.grpc_channel import Metadata
from taskmaster.workers.daemon.resources.usage import UsageMeter
from taskmaster.workers.daemon.scheduler import AttemptScheduler

log = logging.getLogger(__name__)

#: The connection is given up after this number of consecutive failed heartbeats.
_FAILURES_MAX = 2


class HeartbeatLoop:
    """Send a heartbeat at each interval, and immediately on request."""

    def __init__(
        self,
        worker_id: str,
        scheduler: AttemptScheduler,
        usage_meter: UsageMeter,
        contact_deadline: ContactDeadline,
        metadata: Metadata,
        clock: Callable[[], float],
        *,
        unfinished: Callable[[], Iterable[pb.Execution]],
        on_reply: Callable[[pb.HeartbeatReply], None],
    ) -> None:
        self._worker_id = worker_id
        self._scheduler = scheduler
        self._usage_meter = usage_meter
        self._contact_deadline = contact_deadline
        self._metadata = metadata
        self._clock = clock
        self._unfinished = unfinished
        self._on_reply = on_reply
        self._due = asyncio.Event()
        #: Whether the worker has finished and is about to end its stream.
        self._leaving = False

    def send_now(self) -> None:
        """Send the next heartbeat immediately."""
        self._due.set()

    async def send_last(self, stub: rpc.WorkerServiceAsyncStub, timeout_s: float) -> None:
        """Send the final figures before the worker ends its stream."""
        self._leaving = True
        try:
            await stub.SendHeartbeat(self._heartbeat(), timeout=timeout_s, metadata=self._metadata)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            log.warning("last heartbeat failed", extra={"error": str(error)})
        except asyncio.CancelledError:
            # The connection may end now, too, which cancels the call. Pass on only a cancellation
            # of this task.
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise

    async def run(self, stub: rpc.WorkerServiceAsyncStub, interval_s: float) -> None:
        """Send heartbeats until they fail or the coordinator does not know this worker."""
        failures = 0
        while failures < _FAILURES_MAX:
            # Cleared before the state is read, so that a later change triggers another heartbeat.
            self._due.clear()
            sent_at = self._clock()
            try:
                reply = await stub.SendHeartbeat(
                    self._heartbeat(), timeout=interval_s, metadata=self._metadata
                )
            except grpc.aio.AioRpcError as error:
                failures += 1
                log.warning("heartbeat failed", extra={"code": error.code().name})
            else:
                failures = 0
                self._contact_deadline.answered(sent_at, durable=not reply.unwritten)
                self._on_reply(reply)
                if reply.unknown_worker:
                    return
            # The time until the answer counts as part of the interval.
            pause_s = max(0.0, sent_at + interval_s - self._clock())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), pause_s)

    def _heartbeat(self) -> pb.Heartbeat:
        scheduler, usage = self._scheduler, self._usage_meter.read()
        return pb.Heartbeat(
            worker_id=self._worker_id,
            slots=scheduler.slots,
            running=self._unfinished(),
            busy=len(scheduler.running),
            rss_bytes=usage.memory_bytes,
            cpu=usage.cpu,
            tasks_done=scheduler.done,
            tasks_failed=scheduler.failed,
            loop_lag_ms=usage.loop_lag_ms,
            draining=scheduler.draining,
            leaving=self._leaving,
        )
