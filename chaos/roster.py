"""List the processes of a run and their hosts."""

from __future__ import annotations

from dataclasses import dataclass

#: The machine itself; every other host is a network namespace.
HOME = "home"
#: The host of two workers.
EAST = "east"
#: The host of a coordinator, separated from PostgreSQL.
WEST = "west"


#: Queues of the hostile tasks, by the executor that runs them.
HOSTILE_QUEUES = {each: f"hostile-{each}" for each in ("process", "thread", "async")}


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
    queues: tuple[str, ...] = ("default",)


@dataclass(frozen=True, slots=True)
class CoordinatorProcess:
    """Describe one `runcoordinator`."""

    name: str
    host: str = HOME


#: Small, so that all of it fits into two cores. Threads and coroutines share the state of their
#: child, so their hostile tasks run in workers with one slot: only later tasks can notice them.
WORKERS = (
    WorkerProcess("worker-1", "process", 3, queues=("default", HOSTILE_QUEUES["process"])),
    WorkerProcess("worker-2", "thread", 4, shell=True),
    WorkerProcess("worker-3", "async", 6),
    WorkerProcess("worker-4", "process", 3),
    WorkerProcess("worker-5", "thread", 4, EAST),
    WorkerProcess("worker-6", "process", 3, EAST, shell=True),
    WorkerProcess("worker-7", "thread", 1, queues=(HOSTILE_QUEUES["thread"],)),
    WorkerProcess("worker-8", "async", 1, queues=(HOSTILE_QUEUES["async"],)),
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
