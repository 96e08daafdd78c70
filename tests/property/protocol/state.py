"""Model the state of the lease protocol: one task, and the world around it.

A `Task` is everything that concerns one task: its row in the database, the memory of the
coordinators, the messages in transit, and the workers that run it. The `World` is everything else:
which processes live, which are connected, which have been declared dead. Tasks interact only
through the world, so a law that holds for one task in every world holds for any number of tasks.

Time is not modelled: whatever can happen after a pause can happen immediately, and vice versa. A
frozen or disconnected process is one that does nothing for a while.
"""

from __future__ import annotations

from typing import NamedTuple

COORDINATORS = (0, 1)
WORKERS = (0, 1)


class Row(NamedTuple):
    """The columns of the task that decide transitions."""

    status: str = "pending"
    lease: int = 0
    attempt: int = 0
    max_attempts: int = 2
    coordinator: int | None = None
    worker: int | None = None
    #: The task has `on_lost_contact="stop"`.
    stop: bool = False
    #: The lease of the execution whose result is recorded.
    result: int | None = None
    #: Number of leases under which certainly no attempt has run unreported.
    unused: int = 0


class Held(NamedTuple):
    """A coordinator holds the task: claimed, and not yet offered."""

    coordinator: int
    lease: int
    attempt: int
    unused: int


class Flight(NamedTuple):
    """A coordinator has offered the task to a worker, which may have accepted it."""

    coordinator: int
    worker: int
    lease: int
    attempt: int
    accepted: bool


class Offer(NamedTuple):
    """An offer in transit to a worker."""

    coordinator: int
    worker: int
    lease: int
    attempt: int
    unused: int


class Run(NamedTuple):
    """A worker runs the task. Unless `begun`, its acceptance is not acknowledged yet."""

    worker: int
    lease: int
    attempt: int
    begun: bool


class Report(NamedTuple):
    """A report in transit from a worker: `start`, `complete`, `fail` or `decline`.

    It can be delivered in any order and any number of times: first to the coordinator of its worker
    (`to`), and to the current one, because the worker resends it until it is `acked`. Afterwards it
    is a late copy.
    """

    kind: str
    worker: int
    lease: int
    attempt: int
    to: int | None
    acked: bool = False


class Task(NamedTuple):
    """Everything that concerns one task."""

    row: Row = Row()
    held: frozenset[Held] = frozenset()
    flights: frozenset[Flight] = frozenset()
    offers: frozenset[Offer] = frozenset()
    runs: frozenset[Run] = frozenset()
    reports: frozenset[Report] = frozenset()


class Worker(NamedTuple):
    """`at`: the coordinator whose stream it has. `contact` is lost once it has stopped tasks that
    must not run without contact.
    """

    alive: bool = True
    at: int | None = None
    contact: bool = True


class World(NamedTuple):
    """Everything that concerns no single task."""

    alive: tuple[bool, ...] = (True, True)
    workers: tuple[Worker, ...] = (Worker(at=0), Worker(at=1))
    #: (coordinator, worker): the coordinator considers the worker connected.
    links: frozenset[tuple[int, int]] = frozenset({(0, 0), (1, 1)})
    #: The same for workers that have ever connected there: their reports are accepted.
    names: frozenset[tuple[int, int]] = frozenset({(0, 0), (1, 1)})
    #: (coordinator, worker, rescued): the worker is gone and its tasks must be rescued; after that,
    #: the tasks that the worker stops without contact remain.
    lost: frozenset[tuple[int, int, bool]] = frozenset()
    #: The number of faults that can still happen.
    faults: int = 0

    def with_worker(self, number: int, **fields: object) -> World:
        """Return the world with one changed worker."""
        changed = self.workers[number]._replace(**fields)  # type: ignore[arg-type]
        return self._replace(
            workers=tuple(changed if k == number else w for k, w in enumerate(self.workers))
        )


class Action(NamedTuple):
    """A step of the protocol: its kind and its participants."""

    kind: str
    coordinator: int | None = None
    worker: int | None = None
    lease: int | None = None
    report: Report | None = None
    #: Of a delivery: `receipt`, `copy` (one more is in transit), `silence` (the acknowledgement is
    #: lost). Of an end: its outcome. Of a take-over: which of its steps.
    how: str = ""

    def __str__(self) -> str:
        parts = [
            f"{name}={value}"
            for name, value in zip(self._fields[1:], self[1:], strict=True)
            if value not in (None, "")
        ]
        return f"{self.kind}({', '.join(parts)})"


class Rules(NamedTuple):
    """The rules of the protocol: unchanged, or with one precaution removed."""

    lease_guard: bool = True
    status_guard: bool = True
    #: Only the coordinator that offered a task releases it when the worker returns it.
    hand_back_guard: bool = False
    #: A worker that announces an execution at a hello accepts it.
    adopt_starts: bool = True
    #: A worker begins a stoppable task after the acknowledgement of its acceptance.
    accept_first: bool = True


AS_IS = Rules()


class Limits(NamedTuple):
    """The limits of an exploration."""

    leases: int = 2
    reports: int = 2
    faults: int = 2
    #: Whether to include cancel, reschedule and retry.
    by_hand: bool = True
    #: Whether the task can be parked, because no connected worker knows its name.
    parking: bool = False
    #: Whether workers can lose contact for so long that they stop stoppable tasks.
    contact: bool = False
