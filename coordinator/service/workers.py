"""What workers call."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from uuid import UUID

import grpc

from coordinator import translate
from coordinator.database import TROUBLE
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.lifeline import Lifeline
from coordinator.links import BEATS_MAX, Link
from coordinator.refusals import Refusals
from coordinator.service.gate import Context, Gate
from coordinator.service.hello import (
    REPEAT_MAX,
    SLOTS_MAX,
    registration,
)
from coordinator.strangers import Strangers
from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tasks.conf import Settings
from tasks.errors import InvalidField
from tasks.reports import Lease
from workers.store import Beat, NotAdmitted, Registration

log = logging.getLogger(__name__)

PROTOCOL = 1
#: The most offers in one message, and the most bytes unless a single one has more.
_OFFERS_MAX = 200
_OFFER_BYTES_MAX = 1_000_000
#: A worker has no more than its slots, and what has ended and was not confirmed.
_RUNNING_MAX = 2 * SLOTS_MAX


class WorkerService(rpc.WorkerServiceServicer):
    """Streams offers and commands, takes heartbeats and reports."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        flusher: Flusher,
        lifeline: Lifeline,
        conf: Settings,
        coordinator: UUID,
        *,
        coordinators: Callable[[], Sequence[str]],
        held: Callable[[], Sequence[Lease]],
        strangers: Strangers,
        gate: Gate,
    ) -> None:
        self._dispatcher = dispatcher
        self._flusher = flusher
        self._lifeline = lifeline
        self._conf = conf
        self._coordinator = coordinator
        self._coordinators = coordinators
        self._held = held
        self._strangers = strangers
        self._refusals = Refusals()
        self._gate = gate

    async def ReceiveTasks(  # noqa: N802
        self, request: pb.WorkerHello, context: Context
    ) -> AsyncIterator[pb.CoordinatorMessage]:
        """Registers the worker and streams to it for as long as it listens."""
        shown = await self._gate.open(context, request.worker_id)
        registration = await self._registration(request, context)
        if shown is not None:
            registration = registration._replace(join_token=shown.token)
        running = await self._running(request.running, context)
        others = {*self._dispatcher.foreign(registration.id, running), *self._held()}
        try:
            adopted = await self._lifeline.welcome(
                registration, [lease for lease in running if lease not in others]
            )
        except NotAdmitted:
            why = "it was used up or revoked meanwhile"
            await self._gate.refuse(context, why, worker=registration.name)
        except TROUBLE:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The database is away; come again.")
        link = Link(
            registration.id,
            registration.name,
            frozenset(registration.queues) or None,
            registration.slots,
            last_seen=self._lifeline.now(),
            join_token=registration.join_token,
            digest=shown.digest if shown else "",
        )
        self._gate.remember(link)
        known = {lease for lease, _ in adopted}
        self._dispatcher.tell_stale(link, [lease for lease in running if lease not in known])
        log.info("worker joined", extra={"worker": link.name, "slots": link.slots})
        try:
            yield pb.CoordinatorMessage(welcome=self._welcome())
            self._dispatcher.connect(link, adopted)
            while not link.closed:
                await link.ready.wait()
                link.ready.clear()
                while link.commands:
                    yield link.commands.popleft()
                while link.outbox and not link.commands:
                    yield pb.CoordinatorMessage(offers=_take_offers(link))
            if link.expelled:
                await self._gate.refuse(context, "it is valid no more", worker=link.name)
        finally:
            self._lifeline.left(link)

    def _welcome(self) -> pb.Welcome:
        contact_s = self._conf.silence_s - self._conf.lost_contact_margin_s
        return pb.Welcome(
            coordinator_id=str(self._coordinator),
            heartbeat_interval_ms=round(self._conf.heartbeat_interval_s * 1_000),
            accept_timeout_ms=round(self._conf.accept_timeout_s * 1_000),
            output_max_bytes=self._conf.output_max_bytes,
            coordinators=self._coordinators(),
            lost_contact_ms=round(contact_s * 1_000),
        )

    async def _registration(self, hello: pb.WorkerHello, context: Context) -> Registration:
        """What the hello says, checked. Aborts the call when it breaks a rule."""
        if hello.protocol != PROTOCOL:
            self._refusals.note(
                "worker refused: it speaks another protocol",
                worker=hello.name[:REPEAT_MAX],
                protocol=hello.protocol,
            )
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"protocol: this coordinator speaks {PROTOCOL}, the worker {hello.protocol}.",
            )
        try:
            return registration(hello)
        except InvalidField as error:
            rule = str(error)
            self._refusals.note("worker refused: its hello breaks a rule", rule=rule)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, rule)
            raise AssertionError from None

    async def _running(self, executions: Sequence[pb.Execution], context: Context) -> list[Lease]:
        """What a worker says it has. Aborts the call when no worker can have it."""
        running = [Lease(each.task_id, each.lease) for each in executions]
        rule = translate.absurd_leases(running)
        if len(running) > _RUNNING_MAX:
            rule = f"running: must be at most {_RUNNING_MAX:,} executions."
        if rule is not None:
            self._refusals.note("worker refused: what it runs breaks a rule", rule=rule)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, rule)
        return running

    async def SendHeartbeat(  # noqa: N802
        self, request: pb.Heartbeat, context: Context
    ) -> pb.HeartbeatReply:
        """Keeps the heartbeat; names the leases that are stale."""
        known = await self._gate.known(request.worker_id, context)
        link = self._dispatcher.links.get(known.worker_id) if known else None
        if link is None:
            return pb.HeartbeatReply(unknown_worker=True, coordinators=self._coordinators())
        interval_s = self._conf.heartbeat_interval_s
        if not link.may_beat(self._lifeline.now(), interval_s):
            self._refusals.note("heartbeat refused: there are too many", worker=link.name)
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"heartbeats: more than {BEATS_MAX} in {interval_s:g} s, where one is wanted.",
            )
        beat = Beat(
            id=link.worker_id,
            slots=min(max(request.slots, 1), SLOTS_MAX),
            busy=min(request.busy, SLOTS_MAX),
            rss_bytes=min(request.rss_bytes, 2**62),
            cpu=max(0.0, request.cpu) if math.isfinite(request.cpu) else 0.0,
            tasks_done=min(request.tasks_done, 2**62),
            tasks_failed=min(request.tasks_failed, 2**62),
            loop_lag_ms=min(request.loop_lag_ms, 2**31 - 1),
            draining=request.draining,
        )
        running = await self._running(request.running, context)
        answer = await self._lifeline.beat(beat, running)
        self._dispatcher.ended(link, answer.stale, None)
        return pb.HeartbeatReply(
            stale=_executions(answer.stale),
            coordinators=self._coordinators(),
            drain=answer.drain,
            unwritten=not answer.durable,
        )

    async def UpdateTaskStatus(  # noqa: N802
        self, request: pb.StatusUpdate, context: Context
    ) -> pb.StatusReceipt:
        """Hands reports to the flusher; answers when they are durable."""
        known = await self._gate.known(request.worker_id, context)
        if known is None:
            self._refusals.note("report refused: it is of an unknown worker")
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "worker_id: unknown; say hello first."
            )
            raise AssertionError
        if (rule := translate.absurd(request)) is not None:
            self._refusals.note("report refused: it breaks a rule", worker=known.name, rule=rule)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, rule)
        refused = await self._strange(known, request, context)
        if refused:
            request = translate.without(request, refused)
        link = self._dispatcher.links.get(known.worker_id)
        if link is not None:
            self._note(link, request)
        stale = await self._flusher.write(request, known.name, known.worker_id)
        if stale and link is not None:
            self._dispatcher.ended(link, stale, None)
        return pb.StatusReceipt(stale=_executions([*(each.lease for each in refused), *stale]))

    async def _strange(
        self, known: Link, update: pb.StatusUpdate, context: Context
    ) -> set[translate.Report]:
        """The reports of executions that are not the worker's."""
        unexpected = {each for each in translate.named(update) if not known.has(*each)}
        if not unexpected:
            return set()
        try:
            return await self._strangers.of(known.worker_id, known.name, list(unexpected))
        except TROUBLE:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The database is away; try again.")
            raise AssertionError from None

    def _note(self, link: Link, update: pb.StatusUpdate) -> None:
        """Credits are free as soon as the worker says so, not when it is durable."""
        if update.started:
            self._dispatcher.accepted(
                link, [Lease(each.task_id, each.lease) for each in update.started]
            )
        if update.declined:
            self._dispatcher.declined(
                link, [Lease(each.task_id, each.lease) for each in update.declined]
            )
        ended = [Lease(each.task_id, each.lease) for each in update.completed]
        ended.extend(Lease(each.task_id, each.lease) for each in update.failed)
        if ended:
            self._dispatcher.ended(link, ended, _mean_run_s(update))


def _take_offers(link: Link) -> pb.Offers:
    offers, size = pb.Offers(), 0
    while link.outbox and len(offers.offers) < _OFFERS_MAX:
        size += link.outbox[0].ByteSize()
        if offers.offers and size > _OFFER_BYTES_MAX:
            break
        offers.offers.append(link.outbox.popleft())
    return offers


def _mean_run_s(update: pb.StatusUpdate) -> float | None:
    runs = [done.finished_at_us - done.started_at_us for done in update.completed]
    runs.extend(done.finished_at_us - done.started_at_us for done in update.failed)
    return max(0.0, sum(runs) / len(runs) / 1e6) if runs else None


def _executions(leases: Iterable[Lease]) -> list[pb.Execution]:
    return [pb.Execution(task_id=each.task_id, lease=each.lease) for each in leases]
