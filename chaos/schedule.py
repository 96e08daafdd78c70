"""Schedule the faults: a pure function of the seed and the length of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from chaos import roster

#: The fleet first works undisturbed for this long.
_FIRST_S = 2.0
#: A target gets no further fault for this long after a fault, because it is being restarted.
_REST_S = 4.0


class FaultKind(StrEnum):
    """List the kinds of faults. `briefly`: shorter than the lease of 15 s, otherwise longer."""

    KILL_WORKER = "kill_worker"
    KILL_FORK_SERVER = "kill_fork_server"
    KILL_CHILD = "kill_child"
    KILL_COORDINATOR = "kill_coordinator"
    KILL_WEB = "kill_web"
    KILL_POSTGRES = "kill_postgres"
    RESTART_WORKER = "restart_worker"
    RESTART_COORDINATOR = "restart_coordinator"
    RESTART_POSTGRES = "restart_postgres"
    TERMINATE_BACKENDS = "terminate_backends"
    #: The whole process tree, as if the host stopped.
    FREEZE_WORKER = "freeze_worker"
    FREEZE_WORKER_BRIEFLY = "freeze_worker_briefly"
    #: The supervisor only; its children continue.
    FREEZE_SUPERVISOR = "freeze_supervisor"
    FREEZE_SUPERVISOR_BRIEFLY = "freeze_supervisor_briefly"
    FREEZE_COORDINATOR = "freeze_coordinator"
    FREEZE_COORDINATOR_BRIEFLY = "freeze_coordinator_briefly"
    CUT_WORKERS = "cut_workers"
    CUT_WORKERS_BRIEFLY = "cut_workers_briefly"
    CUT_COORDINATOR = "cut_coordinator"
    CUT_COORDINATOR_BRIEFLY = "cut_coordinator_briefly"


@dataclass(frozen=True, slots=True)
class FaultTrait:
    """Define the possible targets of a kind of fault, and its shortest and longest duration."""

    targets: tuple[str, ...]
    shortest_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Hold one scheduled fault. `choice`, from 0 to 1, selects one of the children at that time."""

    at_s: float
    kind: FaultKind
    target: str
    lasts_s: float
    choice: float


_WORKERS = tuple(worker.name for worker in roster.WORKERS)
_COORDINATORS = tuple(coordinator.name for coordinator in roster.COORDINATORS)
#: For kills and restarts the duration is the time until the restart.
TRAITS: dict[FaultKind, FaultTrait] = {
    FaultKind.KILL_WORKER: FaultTrait(_WORKERS, 0.5, 3),
    FaultKind.KILL_FORK_SERVER: FaultTrait(_WORKERS, 0.5, 3),
    FaultKind.KILL_CHILD: FaultTrait(_WORKERS, 0, 0),
    FaultKind.KILL_COORDINATOR: FaultTrait(_COORDINATORS, 0.5, 5),
    FaultKind.KILL_WEB: FaultTrait((roster.WEB,), 0.5, 3),
    FaultKind.KILL_POSTGRES: FaultTrait((roster.POSTGRES,), 0, 4),
    FaultKind.RESTART_WORKER: FaultTrait(_WORKERS, 0.5, 3),
    FaultKind.RESTART_COORDINATOR: FaultTrait(_COORDINATORS, 0.5, 3),
    FaultKind.RESTART_POSTGRES: FaultTrait((roster.POSTGRES,), 0, 4),
    FaultKind.TERMINATE_BACKENDS: FaultTrait((roster.POSTGRES,), 0, 5),
    FaultKind.FREEZE_WORKER: FaultTrait(_WORKERS, 18, 26),
    FaultKind.FREEZE_WORKER_BRIEFLY: FaultTrait(_WORKERS, 2, 10),
    FaultKind.FREEZE_SUPERVISOR: FaultTrait(_WORKERS, 18, 26),
    FaultKind.FREEZE_SUPERVISOR_BRIEFLY: FaultTrait(_WORKERS, 2, 10),
    FaultKind.FREEZE_COORDINATOR: FaultTrait(_COORDINATORS, 18, 26),
    FaultKind.FREEZE_COORDINATOR_BRIEFLY: FaultTrait(_COORDINATORS, 1, 8),
    FaultKind.CUT_WORKERS: FaultTrait((roster.EAST,), 18, 26),
    FaultKind.CUT_WORKERS_BRIEFLY: FaultTrait((roster.EAST,), 2, 10),
    FaultKind.CUT_COORDINATOR: FaultTrait((roster.WEST,), 18, 26),
    FaultKind.CUT_COORDINATOR_BRIEFLY: FaultTrait((roster.WEST,), 2, 10),
}
CUTS = frozenset(
    {
        FaultKind.CUT_WORKERS,
        FaultKind.CUT_WORKERS_BRIEFLY,
        FaultKind.CUT_COORDINATOR,
        FaultKind.CUT_COORDINATOR_BRIEFLY,
    }
)


def schedule(
    seed: int,
    seconds: float,
    *,
    every_s: float = 4.0,
    kinds: Sequence[FaultKind] = tuple(FaultKind),
) -> tuple[Fault, ...]:
    """Return the faults of a run in order: about one per `every_s`, all over before `seconds`.

    Kinds come from a shuffled deck, so that each comes once before any comes twice. A kind that
    does not fit waits for the next iteration: it would last too long, or all its targets are still
    affected.
    """
    random = Random(f"chaos {seed}")
    faults: list[Fault] = []
    deck: list[FaultKind] = []
    free_at: dict[str, float] = {}
    at = _FIRST_S
    while at < seconds:
        if not deck:
            deck = list(kinds)
            random.shuffle(deck)
        for kind in list(deck):
            fault = _fault(kind, at, random)
            fits = fault.at_s + fault.lasts_s <= seconds
            if fits and free_at.get(fault.target, 0.0) <= at:
                deck.remove(kind)
                faults.append(fault)
                free_at[fault.target] = at + fault.lasts_s + _REST_S
                break
        else:
            # No remaining kind fits: shuffle a new deck.
            deck.clear()
        at += every_s * random.uniform(0.5, 1.5)
    return tuple(faults)


def _fault(kind: FaultKind, at: float, random: Random) -> Fault:
    trait = TRAITS[kind]
    target = random.choice(trait.targets)
    lasts_s = random.uniform(trait.shortest_s, trait.longest_s)
    return Fault(round(at, 3), kind, target, round(lasts_s, 3), round(random.random(), 6))
