"""Connected workers as the dispatcher sees them: what each has in flight, and its room for more."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from proto import taskmaster_pb2 as pb
from tasks.reports import Lease

#: A prefetch is meant to last this long: some round trips to the worker and back.
_PREFETCH_S = 0.02
#: A mean run time that is too long for any prefetch: assumed at first, and after a refusal.
LONG_S = 1.0
#: Heartbeats in the interval of one: there is one more when a worker begins to drain, and some when
#: calls time out.
BEATS_MAX = 20
#: What an operator may want of a worker, in the words of `taskmaster_worker`.
COMMANDS = {
    "drain": pb.CoordinatorMessage(drain=pb.Drain()),
    "undrain": pb.CoordinatorMessage(undrain=pb.Undrain()),
    "stop": pb.CoordinatorMessage(stop=pb.Stop()),
    "kill": pb.CoordinatorMessage(kill=pb.Kill()),
}


@dataclass(slots=True)
class Flight:
    """A task that was offered to a worker, and perhaps accepted."""

    lease: int
    attempt: int
    queue: str
    offered_at: float
    accepted: bool = False


@dataclass(slots=True, eq=False)
class Link:
    """A connected worker: its stream's outbox, and what it has in flight."""

    worker_id: UUID
    name: str
    #: None: every queue.
    queues: frozenset[str] | None
    slots: int
    outbox: deque[pb.Offer] = field(default_factory=deque)
    commands: deque[pb.CoordinatorMessage] = field(default_factory=deque)
    flights: dict[int, Flight] = field(default_factory=dict)
    #: Set when there is something to send, or when the link is closed.
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    mean_run_s: float = LONG_S
    #: It let an offer expire: nothing more for it until it answers one.
    suspended: bool = False
    draining: bool = False
    #: Whether the worker itself has said that it drains.
    drains: bool = False
    closed: bool = False
    last_seen: float = 0.0
    #: Heartbeats since then, to know one that comes far too often.
    beats: int = 0
    beats_since: float = 0.0
    #: The join token it came with, and its digest; None where none is needed.
    join_token: int | None = None
    digest: str = ""
    #: Whether the token was valid no more, so that its stream was ended.
    expelled: bool = False
    #: Leases it has accepted and did not name in its newest heartbeat.
    missing: set[Lease] = field(default_factory=set)

    @property
    def free_slots(self) -> int:
        """Slots that nothing is meant for."""
        return 0 if self._idle else self.slots - len(self.flights)

    def room(self, prefetch_max: int) -> int:
        """How many more tasks may be offered."""
        if self._idle:
            return 0
        prefetch = min(prefetch_max, int(self.slots * _PREFETCH_S / max(self.mean_run_s, 1e-6)))
        return max(0, self.slots + prefetch - len(self.flights))

    @property
    def _idle(self) -> bool:
        return self.suspended or self.draining or self.closed

    def serves(self, queue: str) -> bool:
        """Whether the worker takes tasks of this queue."""
        return self.queues is None or queue in self.queues

    def has(self, lease: Lease, attempt: int | None) -> bool:
        """Whether the worker was given this execution, of which it may not name the attempt."""
        flight = self.flights.get(lease.task_id)
        return (
            flight is not None and flight.lease == lease.lease and attempt in (None, flight.attempt)
        )

    def may_beat(self, now: float, interval_s: float) -> bool:
        """Counts a heartbeat; False when there have been far too many in this interval."""
        if now - self.beats_since >= interval_s:
            self.beats, self.beats_since = 0, now
        self.beats += 1
        return self.beats <= BEATS_MAX

    def send(self, command: pb.CoordinatorMessage) -> None:
        """Puts a command in front of any offer."""
        self.commands.append(command)
        self.ready.set()


@dataclass(frozen=True, slots=True)
class Demand:
    """Workers that serve the same queues, and how many tasks they can take now."""

    queues: frozenset[str] | None
    room: int

    def wants(self, queue: str) -> bool:
        """Whether these workers take tasks of this queue."""
        return self.queues is None or queue in self.queues
