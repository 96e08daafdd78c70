"""What the model of the lease protocol knows: one task, and the world around it.

A `Task` is all that concerns one task anywhere: its row in the database, what coordinators remember
of it, what is on the wire, and who runs it. The `World` is what concerns no task: who lives, who is
connected to whom, who has been given up. Tasks meet in the world alone, so whatever holds for one
task in every world holds for any number of tasks.

Time is left out: whatever may happen after a pause may happen at once, and the other way round. A
process that is frozen, or cut off, is one that does nothing for a while.
"""

from __future__ import annotations

from typing import NamedTuple

COORDINATORS = (0, 1)
WORKERS = (0, 1)


class Row(NamedTuple):
    """The columns of the task that decide anything."""

    status: str = "pending"
    lease: int = 0
    attempt: int = 0
    max_attempts: int = 2
    coordinator: int | None = None
    worker: int | None = None
    #: It is declared `on_lost_contact="stop"`.
    stop: bool = False
    #: The lease of the execution whose result is recorded.
    result: int | None = None


class Held(NamedTuple):
    """A coordinator's memory: claimed, and offered to nobody yet."""

    coordinator: int
    lease: int
    attempt: int


class Flight(NamedTuple):
    """A coordinator's memory: offered to a worker, and perhaps accepted."""

    coordinator: int
    worker: int
    lease: int
    attempt: int
    accepted: bool


class Offer(NamedTuple):
    """On the wire to a worker."""

    coordinator: int
    worker: int
    lease: int
    attempt: int


class Run(NamedTuple):
    """A worker runs it. Not `begun`: it waits for the receipt of its acceptance."""

    worker: int
    lease: int
    attempt: int
    begun: bool


class Report(NamedTuple):
    """On the wire from a worker: `start`, `complete`, `fail` or `decline`.

    It may be delivered in any order and any number of times: to the coordinator that its worker was
    connected to at first (`to`), and to that of the moment, since until it is `acked` the worker
    sends it again. Afterwards it is a late copy.
    """

    kind: str
    worker: int
    lease: int
    attempt: int
    to: int | None
    acked: bool = False


class Task(NamedTuple):
    """All that concerns one task."""

    row: Row = Row()
    held: frozenset[Held] = frozenset()
    flights: frozenset[Flight] = frozenset()
    offers: frozenset[Offer] = frozenset()
    runs: frozenset[Run] = frozenset()
    reports: frozenset[Report] = frozenset()


class Worker(NamedTuple):
    """`at`: the coordinator whose stream it has. `contact` is lost once it has stopped
    what must not run without."""

    alive: bool = True
    at: int | None = None
    contact: bool = True


class World(NamedTuple):
    """All that concerns no task."""

    alive: tuple[bool, ...] = (True, True)
    workers: tuple[Worker, ...] = (Worker(at=0), Worker(at=1))
    #: (coordinator, worker): the coordinator believes it is connected.
    links: frozenset[tuple[int, int]] = frozenset({(0, 0), (1, 1)})
    #: The same for those that have ever said hello there: their reports are taken.
    names: frozenset[tuple[int, int]] = frozenset({(0, 0), (1, 1)})
    #: (coordinator, worker, rescued): gone, and what it ran is to be rescued; once that is done,
    #: what the worker stops without contact is still to be.
    lost: frozenset[tuple[int, int, bool]] = frozenset()
    #: How much more may go wrong.
    faults: int = 0

    def with_worker(self, number: int, **fields: object) -> World:
        """The world with one worker changed."""
        changed = self.workers[number]._replace(**fields)  # type: ignore[arg-type]
        return self._replace(
            workers=tuple(changed if k == number else w for k, w in enumerate(self.workers))
        )


class Action(NamedTuple):
    """A step of the protocol: who does what."""

    kind: str
    coordinator: int | None = None
    worker: int | None = None
    lease: int | None = None
    report: Report | None = None
    #: Of a delivery: `receipt`, `copy` (one more is on its way), `silence` (the receipt is lost).
    #: Of an end: how it ended. Of a take-over: which of its steps.
    how: str = ""

    def __str__(self) -> str:
        parts = [
            f"{name}={value}"
            for name, value in zip(self._fields[1:], self[1:], strict=True)
            if value not in (None, "")
        ]
        return f"{self.kind}({', '.join(parts)})"


class Rules(NamedTuple):
    """How the protocol is played: as it is, or with one of its precautions taken out."""

    lease_guard: bool = True
    status_guard: bool = True
    #: What a worker hands back is released by the coordinator alone whose it is.
    hand_back_guard: bool = False
    #: To announce an execution at a hello is to accept it.
    adopt_starts: bool = True
    #: A worker begins a stoppable task after the receipt of its acceptance.
    accept_first: bool = True


AS_IS = Rules()


class Limits(NamedTuple):
    """How far an exploration goes."""

    leases: int = 2
    reports: int = 2
    faults: int = 2
    #: Cancel, move and retry.
    by_hand: bool = True
    #: Workers may lose contact for so long that they stop what is stoppable.
    contact: bool = False
