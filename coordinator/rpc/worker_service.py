"""Serve the gRPC calls of workers."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

import grpc

from taskmaster.coordinator.dispatch import Dispatching
from taskmaster.coordinator.dispatch.connections import (
    HEARTBEATS_MAX,
    WorkerConnection,
    execution_of,
)
from taskmaster.coordinator.dispatch.offer_tokens import OfferTokens
from taskmaster.coordinator.liveness import Liveness
from taskmaster.coordinator.reports import Reporting, wire
from taskmaster.coordinator.rpc.join_auth import UNAVAILABLE, Context, JoinAuth
from taskmaster.coordinator.rpc.registration import (
    PROTOCOLS,
    REPEAT_MAX,
    SLOTS_MAX,
    check_protocol,
    registration_of,
    running_leases,
)
from taskmaster.coordinator.support.database import OUTAGE_ERRORS
from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.messages import Lease
from taskmaster.workers.store.async_store import NotAdmitted, Registration, WorkerHeartbeat

log = logging.getLogger(__name__)


class WorkerService(rpc.WorkerServiceServicer):
    """Stream offers and commands to workers, and receive their heartbeats and reports."""

    def __init__(
        self,
        conf: Settings,
        coordinator: UUID,
        dispatching: Dispatching,
        reporting: Reporting,
        liveness: Liveness,
        join_auth: JoinAuth,
        tokens: OfferTokens,
    ) -> None:
        self._conf = conf
        self._coordinator = coordinator
        self._dispatcher = dispatching.dispatcher
        self._lookahead = dispatching.lookahead
        self._ownership = reporting.ownership
        self._flusher = reporting.flusher
        self._workers = liveness.workers
        self._heartbeats = liveness.heartbeats
        self._peers = liveness.peers
        self._join_auth = join_auth
        self._tokens = tokens
        self._refusals = LogThrottle()

    # ---- the stream of offers and commands --------------------------------------------------

    async def ReceiveTasks(  # noqa: N802
        self, request: pb.WorkerHello, context: Context
    ) -> AsyncIterator[pb.CoordinatorMessage]:
        """Register a worker and stream offers and commands to it until the stream ends."""
        token = await self._join_auth.check_token(request.worker_id, context)
        registration = await self._parse_hello(request, context)
        if token is not None:
            registration = registration._replace(join_token=token.id)
        running = await self._parse_running(request.running, context)
        # The worker cannot run what another worker has in flight, or what no worker was offered.
        elsewhere = {
            *self._dispatcher.in_flight_elsewhere(registration.id, running),
            *self._lookahead.leases(),
        }
        try:
            proven = await self._tokens.are_valid(registration.id, running.items())
            adopted = await self._workers.register(
                registration, [lease for lease, _ in proven if lease not in elsewhere]
            )
        except NotAdmitted:
            why = "it was used up or revoked during the registration"
            await self._join_auth.refuse(context, why, worker=registration.name)
        except OUTAGE_ERRORS:
            await context.abort(grpc.StatusCode.UNAVAILABLE, UNAVAILABLE)
        worker = WorkerConnection(
            registration.id,
            registration.name,
            frozenset(registration.queues) or None,
            registration.slots,
            None if registration.tasks is None else frozenset(registration.tasks),
            last_seen=self._workers.now(),
            join_token=registration.join_token,
            digest=token.digest if token else "",
        )
        self._join_auth.remember(worker)
        if len(proven) < len(running):
            self._refusals.warn(
                "running tasks refused: they have no valid tokens of their offers",
                worker=worker.name,
            )
        still_held = {lease for lease, _ in adopted}
        worker.send_stale([lease for lease in running if lease not in still_held])
        log.info("worker joined", extra={"worker": worker.name, "slots": worker.slots})
        try:
            yield pb.CoordinatorMessage(welcome=self._welcome())
            # Connect after the welcome, which must be the first message.
            self._dispatcher.connect(worker, adopted, running)
            while not worker.closed:
                await worker.ready.wait()
                worker.ready.clear()
                while worker.commands:
                    yield worker.commands.popleft()
                # A command that arrives between two messages precedes the remaining offers.
                while worker.outbox and not worker.commands:
                    yield pb.CoordinatorMessage(offers=worker.take_offers())
            if worker.expelled:
                why = "it was revoked or has expired since the registration"
                await self._join_auth.refuse(context, why, worker=worker.name)
        finally:
            self._workers.start_grace(worker)

    def _welcome(self) -> pb.Welcome:
        """Return the first message of a stream: the settings that the worker must keep to."""
        contact_s = self._conf.silence_s - self._conf.lost_contact_margin_s
        return pb.Welcome(
            coordinator_id=str(self._coordinator),
            heartbeat_interval_ms=round(self._conf.heartbeat_interval_s * 1_000),
            accept_timeout_ms=round(self._conf.accept_timeout_s * 1_000),
            output_max_bytes=self._conf.output_max_bytes,
            coordinators=self._peers.addresses,
            lost_contact_ms=round(contact_s * 1_000),
            protocol_min=PROTOCOLS[0],
            protocol_max=PROTOCOLS[-1],
        )

    async def _parse_hello(self, hello: pb.WorkerHello, context: Context) -> Registration:
        """Return the validated registration. Aborts the call if the hello is not valid."""
        if (refusal := check_protocol(hello)) is not None:
            self._refusals.warn(
                "worker refused: its protocol version is not supported",
                worker=hello.name[:REPEAT_MAX],
                protocol=hello.protocol,
                supported=f"{PROTOCOLS[0]} to {PROTOCOLS[-1]}",
            )
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, refusal)
        try:
            return registration_of(hello)
        except InvalidField as error:
            self._refusals.warn("worker refused: its hello is not valid", rule=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise AssertionError from None

    async def _parse_running(
        self, executions: Sequence[pb.Execution], context: Context
    ) -> dict[Lease, bytes]:
        """Return the leases that a worker lists. Aborts the call if they are not valid."""
        try:
            return running_leases(executions)
        except InvalidField as error:
            self._refusals.warn(
                "call refused: its list of running tasks is not valid", rule=str(error)
            )
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise AssertionError from None

    # ---- heartbeats -------------------------------------------------------------------------

    async def SendHeartbeat(  # noqa: N802
        self, request: pb.Heartbeat, context: Context
    ) -> pb.HeartbeatReply:
        """Record a heartbeat. Answer with the worker's stale leases.

        An unknown worker must register again. That is also a worker whose row this coordinator or
        another one has marked offline.
        """
        registered = await self._join_auth.find_worker(request.worker_id, context)
        worker = self._dispatcher.workers.get(registered.id) if registered else None
        if worker is None:
            return pb.HeartbeatReply(unknown_worker=True, coordinators=self._peers.addresses)
        interval_s = self._conf.heartbeat_interval_s
        if not worker.allow_heartbeat(self._workers.now(), interval_s):
            self._refusals.warn("heartbeat refused: the worker sends too many", worker=worker.name)
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"heartbeats: more than {HEARTBEATS_MAX} in {interval_s:g} s; one is expected.",
            )
        heartbeat = WorkerHeartbeat(
            id=worker.id,
            slots=min(max(request.slots, 1), SLOTS_MAX),
            busy=min(request.busy, SLOTS_MAX),
            rss_bytes=min(request.rss_bytes, 2**62),
            cpu=max(0.0, request.cpu) if math.isfinite(request.cpu) else 0.0,
            tasks_done=min(request.tasks_done, 2**62),
            tasks_failed=min(request.tasks_failed, 2**62),
            loop_lag_ms=min(request.loop_lag_ms, 2**31 - 1),
            draining=request.draining,
            leaving=request.leaving,
        )
        running = await self._parse_running(request.running, context)
        # A lease without its token is stale, and nothing about it is looked up.
        proven = [
            lease
            for lease, token in running.items()
            if worker.has(lease, None, token) or self._tokens.is_valid(worker.id, lease, token)
        ]
        answer = await self._heartbeats.write(heartbeat, proven)
        if answer.unknown:
            return pb.HeartbeatReply(unknown_worker=True, coordinators=self._peers.addresses)
        self._dispatcher.record_ended(worker, answer.stale, None)
        return pb.HeartbeatReply(
            stale=_executions([*answer.stale, *(running.keys() - set(proven))]),
            coordinators=self._peers.addresses,
            drain=answer.drain,
            unwritten=not answer.durable,
        )

    # ---- reports ----------------------------------------------------------------------------

    async def UpdateTaskStatus(  # noqa: N802
        self, request: pb.StatusUpdate, context: Context
    ) -> pb.StatusAcknowledgement:
        """Pass reports to the flusher. Answer when they are durable."""
        registered = await self._join_auth.find_worker(request.worker_id, context)
        if registered is None:
            self._refusals.warn("report refused: its worker is not registered here")
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "worker_id: unknown; call ReceiveTasks first."
            )
            raise AssertionError
        update, refused = await self._check_reports(registered, request, context)
        worker = self._dispatcher.workers.get(registered.id)
        if worker is not None:
            self._dispatcher.apply_update(worker, update)
        stale = await self._flusher.write(update, registered.name, registered.id)
        if stale and worker is not None:
            self._dispatcher.record_ended(worker, stale, None)
        return pb.StatusAcknowledgement(stale=_executions([*refused, *stale]))

    async def _check_reports(
        self, worker: WorkerConnection, update: pb.StatusUpdate, context: Context
    ) -> tuple[pb.StatusUpdate, list[Lease]]:
        """Return the reports that the worker may make, and the leases of the refused ones.

        The dispatcher and the flusher trust the returned reports. Aborts the call if a report is
        not valid.
        """
        try:
            wire.validate_update(update)
            return await self._ownership.remove_foreign(worker, update)
        except InvalidField as error:
            self._refusals.warn(
                "report refused: a field is not valid", worker=worker.name, rule=str(error)
            )
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except OUTAGE_ERRORS:
            await context.abort(grpc.StatusCode.UNAVAILABLE, UNAVAILABLE)
        raise AssertionError("abort raises")


def _executions(leases: Iterable[Lease]) -> list[pb.Execution]:
    return [execution_of(lease) for lease in leases]
