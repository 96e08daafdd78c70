"""One attempt on this worker: what was offered, and how it goes."""

from __future__ import annotations

import asyncio
import enum
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from proto import taskmaster_pb2 as pb

if TYPE_CHECKING:
    from workers.daemon.output import Output


class Stop(enum.Enum):
    """Why the supervisor stops an attempt."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    #: The lease is another's now: nothing is reported.
    STALE = "stale"
    #: The worker stops: the task is offered elsewhere.
    HANDED_BACK = "handed back"
    #: No coordinator answers, and the task must not run twice at once.
    LOST_CONTACT = "lost contact"


class Returned(NamedTuple):
    """The attempt returned. `result` is JSON text, empty for null; times in Unix microseconds."""

    started_at_us: int
    finished_at_us: int
    result: str


class Broken(NamedTuple):
    """The attempt did not return; the fields are those of `Failed` in the protocol."""

    exit_class: pb.ExitClass.ValueType
    message: str
    exception: str = ""
    traceback: str = ""
    code: int = 0
    final: bool = False
    #: 0: when it was handed over, and now.
    started_at_us: int = 0
    finished_at_us: int = 0
    #: The pause that the task asked for; None: the one of its policy.
    retry_after_s: float | None = None


@dataclass(slots=True, eq=False)
class Attempt:
    """An offer, and from its beginning on the execution."""

    #: Its number in this supervisor: what the children call it.
    id: int
    task_id: int
    lease: int
    number: int
    name: str
    #: JSON text, empty for [] and {}.
    args: str
    kwargs: str
    timeout_ms: int
    queue: str
    priority: int
    created_at_us: int
    #: Stopped by this worker when it loses contact, before another may start it.
    stop_on_lost_contact: bool
    #: Seconds of the monotonic clock.
    offered_at: float
    started_at_us: int = 0
    #: Its start must be durable before it runs, and is not yet.
    unconfirmed: bool = False
    stop: Stop | None = None
    output: Output | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def suspect(self) -> bool:
        """Whether it was claimed before and nobody said that it began.

        Perhaps it killed its worker before that could say so: this time its start is made durable
        first, so that it uses its attempts up.
        """
        return self.lease > self.number

    @property
    def key(self) -> tuple[int, int]:
        """The fencing pair."""
        return self.task_id, self.lease


def now_us() -> int:
    """The wall clock in Unix microseconds."""
    return time.time_ns() // 1_000
