"""Track connected workers: the tasks that each has in flight, and its capacity for more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from hmac import compare_digest
from uuid import UUID

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.messages import ClaimedTask, Lease
from taskmaster.tasks.options import MAX_TIMEOUT_S, STOP

#: Seconds that a full prefetch keeps a worker busy: a few round trips between coordinator and
#: worker.
_PREFETCH_S = 0.02
#: A mean run time in seconds that is too long for any prefetch. Assumed for a new worker, and for a
#: worker that hands tasks back.
_LONG_S = 1.0
#: Weight of the newest batch in a worker's mean run time.
_NEWEST_WEIGHT = 0.2
#: Most heartbeats accepted from a worker in one heartbeat interval. One is expected. A worker sends
#: one more when it begins to drain, and some more when calls time out.
HEARTBEATS_MAX = 20
#: Most offers and bytes in one message. A single offer may be larger.
_OFFERS_MAX = 200
_OFFER_BYTES_MAX = 1_000_000
#: Most bytes of the arguments of an offer. Workers accept messages of 16 MiB.
_ARGUMENTS_MAX = 15 * 1024 * 1024
#: Commands that an operator may give a worker, by their name in a `taskmaster_worker` message.
COMMANDS = {
    "drain": pb.CoordinatorMessage(drain=pb.Drain()),
    "undrain": pb.CoordinatorMessage(undrain=pb.Undrain()),
    "stop": pb.CoordinatorMessage(stop=pb.Stop()),
    "kill": pb.CoordinatorMessage(kill=pb.Kill()),
}


@dataclass(slots=True)
class InFlight:
    """Represent a task in flight: offered to a worker, and possibly accepted."""

    lease: int
    attempt: int
    queue: str
    offered_at: float
    #: The token of the offer. The worker's messages about the execution must name it.
    token: bytes
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """Hold the total capacity of all workers with the same queues and the same task names."""

    #: None: every queue.
    queues: frozenset[str] | None
    #: Number of tasks that can be offered to these workers now.
    tasks: int
    #: The task names that these workers know. None: every name.
    names: frozenset[str] | None = None

    def serves(self, queue: str) -> bool:
        """Return whether these workers take tasks of this queue."""
        return self.queues is None or queue in self.queues

    def knows(self, name: str) -> bool:
        """Return whether these workers can run tasks of this name."""
        return self.names is None or name in self.names


@dataclass(slots=True, eq=False)
class WorkerConnection:
    """Represent a connected worker: the outbox of its stream and its tasks in flight.

    The worker gets no offers while it is suspended, draining or closed.
    """

    id: UUID
    name: str
    #: The queues that the worker serves. None: every queue.
    queues: frozenset[str] | None
    slots: int
    #: The task names that the worker has announced. None: it takes every task.
    names: frozenset[str] | None = None
    #: Offers and commands that wait to be sent.
    outbox: deque[pb.Offer] = field(default_factory=deque)
    commands: deque[pb.CoordinatorMessage] = field(default_factory=deque)
    #: The tasks in flight by task id.
    in_flight: dict[int, InFlight] = field(default_factory=dict)
    #: Set when there is a message to send, or when the connection is closed.
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    #: Moving average of the run times that the worker reports, in seconds.
    mean_run_s: float = _LONG_S
    #: Whether the worker let an offer expire. It gets no offers until its next report.
    suspended: bool = False
    draining: bool = False
    #: Whether the worker's newest heartbeat states that it is draining.
    reports_draining: bool = False
    closed: bool = False
    #: Time of the worker's hello or newest heartbeat, on the monotonic clock.
    last_seen: float = 0.0
    #: Number of missed heartbeats in the worker's row.
    missed_heartbeats: int = 0
    #: Number of heartbeats since `heartbeats_since`.
    heartbeats: int = 0
    heartbeats_since: float = 0.0
    #: Id and digest of the worker's join token. None and empty if no token is required.
    join_token: int | None = None
    digest: str = ""
    #: Whether the stream was ended because the token is not valid any more.
    expelled: bool = False
    #: Leases that the worker has accepted and did not list in its newest heartbeat.
    unlisted: set[Lease] = field(default_factory=set)

    # ---- capacity ---------------------------------------------------------------------------

    @property
    def free_slots(self) -> int:
        """Return the number of slots without a task in flight.

        The number is 0 while the worker must not get offers. It is negative while prefetched tasks
        are in flight.
        """
        return 0 if self._takes_nothing else self.slots - len(self.in_flight)

    def capacity(self, prefetch_max: int, share: float = 1.0) -> int:
        """Return how many more tasks may be offered: free slots and a share of the prefetch.

        The prefetch is at most `prefetch_max` and shrinks as the mean run time grows.
        """
        if self._takes_nothing:
            return 0
        prefetch = min(prefetch_max, int(self.slots * _PREFETCH_S / max(self.mean_run_s, 1e-6)))
        return max(0, self.slots + int(prefetch * share) - len(self.in_flight))

    @property
    def _takes_nothing(self) -> bool:
        return self.suspended or self.draining or self.closed

    def serves(self, queue: str) -> bool:
        """Return whether the worker takes tasks of this queue."""
        return self.queues is None or queue in self.queues

    def runs(self, queue: str, name: str) -> bool:
        """Return whether the worker takes tasks of this queue and knows this name."""
        return (self.names is None or name in self.names) and (
            self.queues is None or queue in self.queues
        )

    def record_run_time(self, mean_run_s: float) -> None:
        """Update the mean run time with the mean of a batch of ended tasks, in seconds."""
        self.mean_run_s += _NEWEST_WEIGHT * (mean_run_s - self.mean_run_s)

    def end_prefetch(self) -> None:
        """Stop the prefetch until reports show that tasks are short."""
        self.mean_run_s = max(self.mean_run_s, _LONG_S)

    # ---- messages to the worker -------------------------------------------------------------

    def add_offer(self, task: ClaimedTask, now: float, token: bytes) -> None:
        """Queue the offer of a task, which is in flight from now on.

        The offered attempt is the next one: `task.attempt` counts the attempts so far.
        """
        self.in_flight[task.task_id] = InFlight(
            task.lease, task.attempt + 1, task.queue, now, token
        )
        self.outbox.append(offer_of(task, token))
        self.ready.set()

    def take_offers(self) -> pb.Offers:
        """Remove the next offers from the outbox. Return them as one message."""
        offers, size = pb.Offers(), 0
        while self.outbox and len(offers.offers) < _OFFERS_MAX:
            size += self.outbox[0].ByteSize()
            if offers.offers and size > _OFFER_BYTES_MAX:
                break
            offers.offers.append(self.outbox.popleft())
        return offers

    def drop_withdrawn_offers(self) -> None:
        """Remove unsent offers whose tasks are not in flight any more."""
        self.outbox = deque(offer for offer in self.outbox if offer.task_id in self.in_flight)

    def send(self, command: pb.CoordinatorMessage) -> None:
        """Queue a command. Commands are sent before offers."""
        self.commands.append(command)
        self.ready.set()

    def send_stale(self, leases: Iterable[Lease]) -> None:
        """Notify the worker that leases are stale. It stops these executions."""
        executions = [execution_of(lease) for lease in leases]
        if executions:
            self.send(pb.CoordinatorMessage(stale=pb.Executions(executions=executions)))

    def close(self) -> None:
        """Discard all unsent messages and end the stream."""
        self.closed = True
        self.outbox.clear()
        self.commands.clear()
        self.ready.set()

    # ---- tasks in flight --------------------------------------------------------------------

    def has(self, lease: Lease, attempt: int | None, token: bytes) -> bool:
        """Return whether this execution is in flight at the worker and has this token.

        `attempt` is None in reports that do not carry an attempt.
        """
        task = self.in_flight.get(lease.task_id)
        return (
            task is not None
            and task.lease == lease.lease
            and attempt in (None, task.attempt)
            and compare_digest(task.token, token)
        )

    def accept(self, lease: Lease) -> None:
        """Mark an offer as accepted, unless it is not in flight any more."""
        task = self.in_flight.get(lease.task_id)
        if task is not None and task.lease == lease.lease:
            task.accepted = True

    def remove(self, lease: Lease) -> bool:
        """Remove a task in flight. Return False if it is not in flight under this lease."""
        task = self.in_flight.get(lease.task_id)
        if task is None or task.lease != lease.lease:
            return False
        del self.in_flight[lease.task_id]
        return True

    def leases(self, *, accepted: bool) -> list[Lease]:
        """Return the leases in flight that the worker has accepted, or those that it has not."""
        return [
            Lease(task_id, task.lease)
            for task_id, task in self.in_flight.items()
            if task.accepted == accepted
        ]

    def expired_offers(self, deadline: float) -> list[Lease]:
        """Return the leases that were offered before `deadline` and are not accepted."""
        return [
            Lease(task_id, task.lease)
            for task_id, task in self.in_flight.items()
            if not task.accepted and task.offered_at < deadline
        ]

    # ---- heartbeats -------------------------------------------------------------------------

    def allow_heartbeat(self, now: float, interval_s: float) -> bool:
        """Count a heartbeat. Return False if the interval already has HEARTBEATS_MAX heartbeats."""
        if now - self.heartbeats_since >= interval_s:
            self.heartbeats, self.heartbeats_since = 0, now
        self.heartbeats += 1
        return self.heartbeats <= HEARTBEATS_MAX


def offer_fault(task: ClaimedTask) -> str | None:
    """Return why no worker can receive the task, or None.

    Submissions are checked, but a row may have been inserted or changed by SQL.
    """
    if not 0 <= task.timeout_s <= MAX_TIMEOUT_S:
        return f"timeout_s is {task.timeout_s}; it must be from 0 to {MAX_TIMEOUT_S:,}"
    texts = task.args, task.kwargs
    # A character takes at most four bytes.
    if sum(map(len, texts)) > _ARGUMENTS_MAX // 4:
        size = sum(len(text.encode()) for text in texts)
        if size > _ARGUMENTS_MAX:
            return f"args and kwargs have {size:,} bytes; the limit is {_ARGUMENTS_MAX:,}"
    return None


def offer_of(task: ClaimedTask, token: bytes) -> pb.Offer:
    """Convert a claimed task to the offer that its worker gets."""
    return pb.Offer(
        task_id=task.task_id,
        lease=task.lease,
        attempt=task.attempt + 1,
        name=task.name,
        args="" if task.args == "[]" else task.args,
        kwargs="" if task.kwargs == "{}" else task.kwargs,
        timeout_ms=round(task.timeout_s * 1_000),
        queue=task.queue,
        priority=task.priority,
        created_at_us=int(task.created_at.timestamp() * 1e6),
        max_attempts=task.max_attempts,
        stop_on_lost_contact=task.on_lost_contact == STOP,
        token=token,
        unused_leases=task.unused_leases,
        scheduled_for_us=round(task.scheduled_for.timestamp() * 1e6) if task.scheduled_for else 0,
    )


def execution_of(lease: Lease) -> pb.Execution:
    """Convert a lease to the message that names its execution."""
    return pb.Execution(task_id=lease.task_id, lease=lease.lease)
