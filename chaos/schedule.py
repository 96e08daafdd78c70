"""Which fault comes when: a pure function of the seed and the length of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from chaos import roster

#: The fleet works undisturbed for so long first.
_FIRST_S = 2.0
#: Who was hit is left alone for so long afterwards: it is being started again.
_REST_S = 4.0


class Kind(StrEnum):
    """What can happen. `briefly` is within the lease of 15 s, without it beyond."""

    KILL_WORKER = "kill_worker"
    KILL_LAUNCHER = "kill_launcher"
    KILL_CHILD = "kill_child"
    KILL_COORDINATOR = "kill_coordinator"
    KILL_WEB = "kill_web"
    KILL_POSTGRES = "kill_postgres"
    RESTART_WORKER = "restart_worker"
    RESTART_COORDINATOR = "restart_coordinator"
    RESTART_POSTGRES = "restart_postgres"
    TERMINATE_BACKENDS = "terminate_backends"
    #: With its children: the host stands still.
    FREEZE_WORKER = "freeze_worker"
    FREEZE_WORKER_BRIEFLY = "freeze_worker_briefly"
    #: Its children go on.
    FREEZE_SUPERVISOR = "freeze_supervisor"
    FREEZE_SUPERVISOR_BRIEFLY = "freeze_supervisor_briefly"
    FREEZE_COORDINATOR = "freeze_coordinator"
    FREEZE_COORDINATOR_BRIEFLY = "freeze_coordinator_briefly"
    CUT_WORKERS = "cut_workers"
    CUT_WORKERS_BRIEFLY = "cut_workers_briefly"
    CUT_COORDINATOR = "cut_coordinator"
    CUT_COORDINATOR_BRIEFLY = "cut_coordinator_briefly"


@dataclass(frozen=True, slots=True)
class Trait:
    """Whom a kind of fault may hit, and how many seconds it lasts."""

    targets: tuple[str, ...]
    shortest_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is to come. `choice`, from 0 to 1, picks one of what is there by then."""

    at_s: float
    kind: Kind
    target: str
    lasts_s: float
    choice: float


_WORKERS = tuple(worker.name for worker in roster.WORKERS)
_COORDINATORS = tuple(coordinator.name for coordinator in roster.COORDINATORS)
#: For what is killed and restarted: how long until it is started again.
TRAITS: dict[Kind, Trait] = {
    Kind.KILL_WORKER: Trait(_WORKERS, 0.5, 3),
    Kind.KILL_LAUNCHER: Trait(_WORKERS, 0.5, 3),
    Kind.KILL_CHILD: Trait(_WORKERS, 0, 0),
    Kind.KILL_COORDINATOR: Trait(_COORDINATORS, 0.5, 5),
    Kind.KILL_WEB: Trait((roster.WEB,), 0.5, 3),
    Kind.KILL_POSTGRES: Trait((roster.POSTGRES,), 0, 4),
    Kind.RESTART_WORKER: Trait(_WORKERS, 0.5, 3),
    Kind.RESTART_COORDINATOR: Trait(_COORDINATORS, 0.5, 3),
    Kind.RESTART_POSTGRES: Trait((roster.POSTGRES,), 0, 4),
    Kind.TERMINATE_BACKENDS: Trait((roster.POSTGRES,), 0, 5),
    Kind.FREEZE_WORKER: Trait(_WORKERS, 18, 26),
    Kind.FREEZE_WORKER_BRIEFLY: Trait(_WORKERS, 2, 10),
    Kind.FREEZE_SUPERVISOR: Trait(_WORKERS, 18, 26),
    Kind.FREEZE_SUPERVISOR_BRIEFLY: Trait(_WORKERS, 2, 10),
    Kind.FREEZE_COORDINATOR: Trait(_COORDINATORS, 18, 26),
    Kind.FREEZE_COORDINATOR_BRIEFLY: Trait(_COORDINATORS, 1, 8),
    Kind.CUT_WORKERS: Trait((roster.EAST,), 18, 26),
    Kind.CUT_WORKERS_BRIEFLY: Trait((roster.EAST,), 2, 10),
    Kind.CUT_COORDINATOR: Trait((roster.WEST,), 18, 26),
    Kind.CUT_COORDINATOR_BRIEFLY: Trait((roster.WEST,), 2, 10),
}
CUTS = frozenset(
    {
        Kind.CUT_WORKERS,
        Kind.CUT_WORKERS_BRIEFLY,
        Kind.CUT_COORDINATOR,
        Kind.CUT_COORDINATOR_BRIEFLY,
    }
)


def schedule(
    seed: int, seconds: float, *, every_s: float = 4.0, kinds: Sequence[Kind] = tuple(Kind)
) -> tuple[Fault, ...]:
    """The faults of a run, in order: one about every `every_s`, all over before `seconds`.

    Kinds are dealt like cards, so that each comes once before any comes twice; one that does not
    fit, because it would last too long or all that it may hit are still being hit, waits for the
    next turn.
    """
    random = Random(f"chaos {seed}")
    faults: list[Fault] = []
    deck: list[Kind] = []
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
            # Nothing that is left fits: a new deck.
            deck.clear()
        at += every_s * random.uniform(0.5, 1.5)
    return tuple(faults)


def _fault(kind: Kind, at: float, random: Random) -> Fault:
    trait = TRAITS[kind]
    target = random.choice(trait.targets)
    lasts_s = random.uniform(trait.shortest_s, trait.longest_s)
    return Fault(round(at, 3), kind, target, round(lasts_s, 3), round(random.random(), 6))
