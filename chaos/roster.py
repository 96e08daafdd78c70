"""Who takes part in a run, and on which host."""

from __future__ import annotations

from dataclasses import dataclass

#: The machine itself; every other host is a network namespace.
HOME = "home"
#: Two workers live here.
EAST = "east"
#: A coordinator lives here: PostgreSQL is on the other side.
WEST = "west"


@dataclass(frozen=True, slots=True)
class Worker:
    """One `runworker`."""

    name: str
    pool: str
    slots: int
    host: str = HOME


@dataclass(frozen=True, slots=True)
class Coordinator:
    """One `runcoordinator`."""

    name: str
    host: str = HOME


#: Small, so that all of it fits into two cores.
WORKERS = (
    Worker("worker-1", "process", 3),
    Worker("worker-2", "threads", 4),
    Worker("worker-3", "async", 6),
    Worker("worker-4", "process", 3),
    Worker("worker-5", "threads", 4, EAST),
    Worker("worker-6", "process", 3, EAST),
)
COORDINATORS = (
    Coordinator("coordinator-1"),
    Coordinator("coordinator-2"),
    Coordinator("coordinator-3", WEST),
)
WEB = "web"
POSTGRES = "postgres"


def residents(host: str) -> frozenset[str]:
    """Who lives on a host."""
    return frozenset(each.name for each in (*WORKERS, *COORDINATORS) if each.host == host)
