"""Define the interface between a pool and its provider: this host, Compose or Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from taskmaster.tasks.errors import Unavailable

#: Limits of the log excerpt that is kept of a dead worker.
LOG_LINES, LOG_CHARACTERS = 20, 4_000
#: An engine reports 128 + the number of the signal that ended a container.
_SIGNALLED, _SIGNALS = 128, 64


class ProviderMissing(Unavailable):
    """Raised when the engine or the rights are missing. The message states what to do. HTTP 503."""


class ProviderFailed(Unavailable):
    """Raised when the engine answered with an error. The message is that error. HTTP 503."""


@dataclass(frozen=True, slots=True)
class DesiredPool:
    """Describe a pool to its provider."""

    pool: str
    #: Desired number of running workers.
    count: int
    #: Options of `runworker`: --pool, --executor, --concurrency and, unless all are served,
    #: --queues.
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    #: Seconds that a worker may spend to finish its tasks after it is asked to stop.
    stop_limit_s: float


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """Describe a worker that ended without having been asked to stop."""

    #: Exit code, or the negative number of a signal. None: unknown.
    exit_code: int | None
    #: Last lines of its log, at most LOG_LINES and LOG_CHARACTERS.
    last_log: str
    #: Seconds from its start to its end. 0 if unknown.
    lived_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """Hold the observed state of a pool."""

    #: Number of workers that run and are not asked to stop.
    running: int
    #: Number of workers that were asked to stop and have not ended yet.
    stopping: int = 0
    #: Workers that died since the last observation.
    died: tuple[DeadWorker, ...] = ()


class Provider(Protocol):
    """Make the desired number of workers run.

    Every call may be repeated, because calls describe a state and not a change. Each call raises
    ProviderMissing or ProviderFailed. The caller sets the time-out.
    """

    name: ClassVar[str]

    async def check(self, desired: DesiredPool) -> None:
        """Raise ProviderMissing if the provider cannot run this pool from here."""

    async def observe(self, desired: DesiredPool) -> ObservedPool:
        """Return the observed state."""

    async def scale(self, desired: DesiredPool) -> None:
        """Make `desired.count` workers run.

        Surplus workers get SIGTERM and `stop_limit_s` seconds to finish.
        """

    async def close(self) -> None:
        """Release the resources of the provider. The workers continue to run."""


def tail(text: str) -> str:
    """Return the end of a log, within the limits that are kept."""
    # PostgreSQL cannot store U+0000.
    lines = text.replace("\0", "\ufffd").rstrip().splitlines()
    return "\n".join(lines[-LOG_LINES:])[-LOG_CHARACTERS:]


def signal_of_shell_code(code: int) -> int:
    """Convert an exit code above 128, as container engines report it, to a negative signal."""
    return _SIGNALLED - code if _SIGNALLED < code <= _SIGNALLED + _SIGNALS else code
