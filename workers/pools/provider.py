"""What stands between a pool and whoever runs processes: this machine, Compose, Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from tasks.errors import Unavailable

#: What is kept of the log of a worker that died.
LOG_LINES, LOG_CHARACTERS = 20, 4_000


class ProviderMissing(Unavailable):
    """No Docker, no cluster, no rights: says what is missing and what to do. HTTP 503."""


class ProviderFailed(Unavailable):
    """The engine answered with an error, which is the message. HTTP 503."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pool as a provider sees it."""

    pool: str
    #: How many workers shall run.
    count: int
    #: Options of `runworker`: --pool-name, --pool, --concurrency and, unless all, --queues.
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    #: A worker that is told to go finishes what it runs for at most so long.
    stop_limit_s: float


@dataclass(frozen=True, slots=True)
class Died:
    """A worker that ended without having been told to."""

    #: Minus the number of a signal; None: unknown.
    exit_code: int | None
    #: Its last lines, at most LOG_LINES and LOG_CHARACTERS.
    last_log: str
    #: From its start to its end; 0 where nobody knows.
    lived_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What runs of a pool."""

    #: Workers that shall stay.
    running: int
    #: Workers that were told to go and have not gone yet.
    stopping: int = 0
    #: Since the last look.
    died: tuple[Died, ...] = ()


class Provider(Protocol):
    """Makes as many workers run as are wanted. Every call may come again: levels, not commands.

    Each call raises ProviderMissing or ProviderFailed. Whoever calls sets the time-out.
    """

    name: ClassVar[str]

    async def check(self, wanted: Wanted) -> None:
        """Raises ProviderMissing when this could not be made so from here."""

    async def observe(self, wanted: Wanted) -> Observed:
        """What runs at this moment."""

    async def scale(self, wanted: Wanted) -> None:
        """Makes `wanted.count` run; the surplus gets SIGTERM and `stop_limit_s` to finish."""

    async def close(self) -> None:
        """Lets go of what it holds; the workers run on."""


def tail(text: str) -> str:
    """The end of a log, as much as is kept."""
    # PostgreSQL stores no U+0000.
    lines = text.replace("\0", "\ufffd").rstrip().splitlines()
    return "\n".join(lines[-LOG_LINES:])[-LOG_CHARACTERS:]
