"""Register workers, detect lost ones, and rescue their tasks.

A worker whose stream broke has a grace period. In it the worker may reconnect, here or to another
coordinator, with the tasks that it runs. A worker that missed too many heartbeats gets no further
grace. A rescue depends on the liveness of the worker only, never on how long a task takes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.messages import AdoptedAttempt, Lease, TaskChange, count_failures
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.templatetags.taskmaster import tasks as count_of_tasks
from taskmaster.workers.store import async_store as worker_store
from taskmaster.workers.store.async_store import Registration

log = logging.getLogger(__name__)

#: Seconds between two searches for silent and lost workers.
_INTERVAL_S = 0.5
#: Fraction of the interval by which a heartbeat may be late before it counts as missed.
_LATE = 0.25
#: Delay of an iteration, in seconds, that means that this process was stalled.
_STALLED_S = 2.0


class LostWorker(NamedTuple):
    """Describe a lost worker and the times at which its tasks are rescued.

    Tasks with `on_lost_contact="stop"` are rescued later than the others. Times are seconds of the
    monotonic clock.
    """

    name: str
    rescue_at: float
    #: Time by which the worker has certainly stopped those tasks: it stops them when it has had no
    #: contact for `silence_s`, less a margin.
    rescue_stoppable_at: float
    #: Whether the others are rescued already.
    rescued: bool = False


class WorkerLiveness:
    """Watch the workers of one coordinator."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        flusher: Flusher,
        conf: Settings,
        identity: Identity,
        publisher: EventPublisher,
        *,
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._flusher = flusher
        self._conf = conf
        self._identity = identity
        self._publisher = publisher
        self._on_pending = on_pending
        self._clock = clock
        #: Workers without a connection whose tasks are not all rescued yet.
        self._lost: dict[UUID, LostWorker] = {}
        #: End of the last iteration. Before the first one: time of the start.
        self._iterated_at = clock()

    def now(self) -> float:
        """Return the current time of the clock that measures silence, in seconds."""
        return self._clock()

    # ---- registration and disconnection -----------------------------------------------------

    async def register(
        self, registration: Registration, running: Sequence[Lease]
    ) -> list[tuple[Lease, AdoptedAttempt]]:
        """Register a worker and adopt the leases in `running` that are still live.

        Return the adopted leases with their attempts. Raises NotAdmitted if the worker's join token
        is not valid. Raises the errors in OUTAGE_ERRORS.
        """
        async with self._database.transaction() as connection:
            if registration.join_token is not None:
                await worker_store.use_join_token(
                    connection, registration.join_token, registration.id
                )
            await worker_store.register_worker(connection, registration, self._identity.id)
            adopted = (
                await store.adopt_attempts(
                    connection, running, self._identity.id, registration.name, registration.id
                )
                if running
                else []
            )
        self._lost.pop(registration.id, None)
        tasks = f", with {len(adopted)} running" if adopted else ""
        plural = "" if registration.slots == 1 else "s"
        text = f"{registration.name} joined with {registration.slots} slot{plural}{tasks}"
        self._publish(EventKind.ONLINE, text, registration.name, registration.id)
        by_id = {each.task_id: each for each in adopted}
        return [(lease, by_id[lease.task_id]) for lease in running if lease.task_id in by_id]

    def start_grace(self, worker: WorkerConnection) -> None:
        """Start the reconnect grace of a worker whose stream ended.

        A draining worker with no task in flight gets no grace.
        """
        if worker.closed:
            return
        needs_grace = worker.in_flight or not worker.draining
        grace_s = self._conf.reconnect_grace_s if needs_grace else 0.0
        self._lose(worker, self._clock() + grace_s)
        log.info("worker disconnected", extra={"worker": worker.name})

    def expel(self, worker: WorkerConnection) -> None:
        """End the stream of a worker and make its tasks due for rescue immediately.

        Tasks with `on_lost_contact="stop"` are rescued only after the worker must have stopped
        them.
        """
        if not worker.closed:
            worker.expelled = True
            self._lose(worker, self._clock())
            log.warning(
                "worker disconnected: its join token is no longer valid",
                extra={"worker": worker.name},
            )

    def _lose(self, worker: WorkerConnection, rescue_at: float) -> None:
        """Disconnect a worker and record it as lost, with rescue of its tasks at `rescue_at`."""
        self._dispatcher.disconnect(worker)
        rescue_stoppable_at = max(rescue_at, worker.last_seen + self._conf.silence_s)
        self._lost[worker.id] = LostWorker(worker.name, rescue_at, rescue_stoppable_at)

    def _publish(self, kind: EventKind, text: str, worker: str, worker_id: UUID) -> None:
        self._publisher.add(NewEvent(kind, text, worker=worker, worker_id=worker_id))

    # ---- silent workers ---------------------------------------------------------------------

    async def run(self) -> None:
        """Count missed heartbeats and rescue the tasks of lost workers until cancelled."""
        # An iteration that fails is repeated. The lost workers are still recorded.
        await run_every(_INTERVAL_S, self._iterate, retry_on=OUTAGE_ERRORS)

    async def _iterate(self) -> None:
        self._allow_for_stall()
        try:
            await self._count_missed_heartbeats()
            await self._rescue_due()
        finally:
            self._iterated_at = self._clock()

    def _allow_for_stall(self) -> None:
        """Extend all deadlines by the time this process was stalled.

        Its own pause must not count as missed heartbeats of the workers.
        """
        stalled_s = self._clock() - self._iterated_at - _INTERVAL_S
        if stalled_s < _STALLED_S:
            return
        log.warning("this process was stalled", extra={"seconds": round(stalled_s, 1)})
        for worker in self._dispatcher.workers.values():
            worker.last_seen += stalled_s

    async def _count_missed_heartbeats(self) -> None:
        """Write the numbers of missed heartbeats and disconnect workers that missed too many."""
        changed: dict[UUID, int] = {}
        for worker in list(self._dispatcher.workers.values()):
            silent_s = self._clock() - worker.last_seen
            missed = self._missed_heartbeats(silent_s)
            if missed != worker.missed_heartbeats:
                changed[worker.id] = worker.missed_heartbeats = missed
            if missed >= self._conf.heartbeat_misses:
                log.warning(
                    "worker lost: it missed too many heartbeats",
                    extra={"worker": worker.name, "seconds": round(silent_s)},
                )
                self._lose(worker, self._clock())
        if changed:
            async with self._database.connection() as connection:
                await worker_store.update_missed_heartbeats(connection, changed, self._identity.id)

    def _missed_heartbeats(self, silent_s: float) -> int:
        """Return the number of heartbeats that a worker has missed after `silent_s` of silence.

        A worker that has been silent for `silence_s` has missed all: no lateness is allowed then.
        """
        interval_s = self._conf.heartbeat_interval_s
        if silent_s >= self._conf.silence_s:
            return self._conf.heartbeat_misses
        return max(0, int(silent_s / interval_s - _LATE))

    # ---- lost workers -----------------------------------------------------------------------

    async def _rescue_due(self) -> None:
        """Rescue the tasks of the lost workers whose time has come."""
        now = self._clock()
        due = {
            worker_id: lost
            for worker_id, lost in self._lost.items()
            if now >= (lost.rescue_stoppable_at if lost.rescued else lost.rescue_at)
        }
        if not due:
            return
        # Write pending reports first. The rescue would miss a task whose start is not yet written.
        await self._flusher.wait_until_written()
        for worker_id, lost in due.items():
            await self._rescue(worker_id, lost)

    async def _rescue(self, worker_id: UUID, lost: LostWorker) -> None:
        """Rescue the tasks of a lost worker in one transaction, and mark the worker offline."""
        stoppable = self._clock() >= lost.rescue_stoppable_at
        async with self._database.transaction() as connection:
            rescued = await store.rescue_orphans(
                connection, self._identity.id, worker_id, stoppable=stoppable
            )
            if ended := count_failures(rescued):
                await store.record_completions(connection, ended, self._identity.id)
            ends = await worker_store.mark_workers_offline(
                connection, [worker_id], self._identity.id
            )
        if self._lost.get(worker_id) is not lost:
            # The worker has registered again or was lost again during the transaction.
            return
        if stoppable:
            del self._lost[worker_id]
        else:
            self._lost[worker_id] = lost._replace(rescued=True)
        self._publish_rescue(worker_id, lost, rescued, ends.get(worker_id))

    def _publish_rescue(
        self, worker_id: UUID, lost: LostWorker, rescued: list[TaskChange], end: str | None
    ) -> None:
        """Publish the rescued tasks and how the worker ended.

        `end` is None if the worker is registered with another coordinator.
        """
        self._publisher.add_batch(EventBatch(EventKind.RESCUED, rescued, messages.rescued))
        if end is not None and not lost.rescued:
            tasks = f", {count_of_tasks(len(rescued))} rescued" if rescued else ""
            text = f"{lost.name} {messages.WORKER_ENDS[end]}{tasks}"
            self._publish(EventKind.OFFLINE, text, lost.name, worker_id)
        if rescued:
            log.warning(
                "tasks of a lost worker rescued",
                extra={"worker": lost.name, "tasks": len(rescued)},
            )
            self._on_pending()
