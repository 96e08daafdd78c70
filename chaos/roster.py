"""List the processes of a run and their hosts."""

from __future__ import annotations

from dataclasses import dataclass

#: The machine itself; every other host is a network namespace.
HOME = "home"
#: The host of two workers.
EAST = "east"
#: The host of a coordinator, separated from PostgreSQL.
WEST = "west"


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """Describe one `runworker`."""

    name: str
    executor: str
    slots: int
    host: str = HOME
    #: Whether it runs shell commands. The others do not know the name `shell`, so commands are
    #: parked while no such worker is connected.
    shell: bool = False


@dataclass(frozen=True, slots=True)
class CoordinatorProcess:
    """Describe one `runcoordinator`."""

    name: str
    host: str = HOME


#: Small, so that all of it fits into two cores.
WORKERS = (
    WorkerProcess("worker-1", "process", 3),
    WorkerProcess("worker-2", "thread", 4, shell=True),
    WorkerProcess("worker-3", "async", 6),
    WorkerProcess("worker-4", "process", 3),
    WorkerProcess("worker-5", "thread", 4, EAST),
    WorkerProcess("worker-6", "process", 3, EAST, shell=True),
)
COORDINATORS = (
    CoordinatorProcess("coordinator-1"),
    CoordinatorProcess("coordinator-2"),
    CoordinatorProcess("coordinator-3", WEST),
)
WEB = "web"
POSTGRES = "postgres"


def residents(host: str) -> frozenset[str]:
    """Return the names of the processes on a host."""
    return frozenset(each.name for each in (*WORKERS, *COORDINATORS) if each.host == host)
