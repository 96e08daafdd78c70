"""Define an attempt on this worker, its endings and the reasons to stop it."""

from __future__ import annotations

import asyncio
import enum
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.messages import Raised, RunTask, Succeeded
from taskmaster.workers.daemon.output import CappedOutput


class StopReason(enum.Enum):
    """Name why the supervisor stops an attempt."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    #: Another worker holds the task under a newer lease. Nothing is reported.
    STALE = "stale"
    #: The worker shuts down. The task is offered to another worker.
    HANDED_BACK = "handed back"
    #: No coordinator answers, and two executions of the task must not overlap.
    LOST_CONTACT = "lost contact"


class Failed(NamedTuple):
    """Describe an attempt that did not return. The fields are those of `Failed` in the protocol."""

    exit_class: pb.ExitClass.ValueType
    message: str
    exception: str = ""
    traceback: str = ""
    code: int = 0
    final: bool = False
    #: Unix microseconds. 0 stands for the start that the supervisor recorded and for the current
    #: time.
    started_at_us: int = 0
    finished_at_us: int = 0
    #: Retry delay that the task requested, in seconds. None: the delay of its retry policy.
    retry_after_s: float | None = None

    @classmethod
    def from_exception(cls, raised: Raised) -> Failed:
        """Return the ending of an attempt whose task raised an exception."""
        return cls(
            pb.EXIT_CLASS_RAISED,
            raised.message,
            raised.exception,
            raised.traceback,
            final=raised.final,
            started_at_us=raised.started_at_us,
            finished_at_us=raised.finished_at_us,
            retry_after_s=raised.retry_after_s,
        )


#: How an attempt ended.
Ending = Succeeded | Failed


@dataclass(slots=True, eq=False)
class Attempt:
    """Hold an offer and, once it has started, the state of its execution."""

    #: Number of the attempt in this supervisor. Children identify the attempt by it.
    id: int
    #: Fencing pair (task id, lease).
    key: tuple[int, int]
    #: Message that makes a child run the task.
    run: RunTask
    timeout_ms: int
    #: On lost contact this worker stops the attempt, before another worker may start the task.
    stop_on_lost_contact: bool
    #: Seconds of the monotonic clock.
    offered_at: float
    #: The token of the offer. Every message about the attempt names it.
    token: bytes
    #: Number of leases under which no attempt can have run.
    unused_leases: int = 0
    started_at_us: int = 0
    #: The start must be acknowledged as durable before the attempt runs, and is not yet.
    unconfirmed: bool = False
    #: None: the supervisor has not stopped the attempt.
    stop_reason: StopReason | None = None
    #: None: nothing was printed so far.
    output: CappedOutput | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @classmethod
    def from_offer(cls, ident: int, offer: pb.Offer, offered_at: float) -> Attempt:
        """Return the attempt of an offer.

        The fields are copied: a reference would keep the memory of all offers of its message.
        """
        task_id = offer.task_id
        run = RunTask(
            ident,
            offer.name,
            offer.args,
            offer.kwargs,
            task_id,
            offer.attempt,
            offer.created_at_us,
            offer.queue,
            offer.priority,
            offer.scheduled_for_us,
        )
        key = (task_id, offer.lease)
        # Positional, because this runs for each task.
        stop = offer.stop_on_lost_contact
        return cls(
            ident, key, run, offer.timeout_ms, stop, offered_at, offer.token, offer.unused_leases
        )

    @property
    def task_id(self) -> int:
        """Return the id of the task."""
        return self.key[0]

    @property
    def lease(self) -> int:
        """Return the lease under which the worker holds the task."""
        return self.key[1]

    @property
    def number(self) -> int:
        """Return the number of the attempt, counted from 1."""
        return self.run.number

    @property
    def may_have_started(self) -> bool:
        """Return whether an earlier attempt may have started without reporting it.

        The number counts reported starts. If there were more leases, apart from the unused ones, an
        attempt may have killed its worker before it could report. The start is therefore made
        durable before this attempt runs, so that such a task uses its attempts up.
        """
        return self.lease - self.unused_leases > self.number


def now_us() -> int:
    """Return the wall clock in Unix microseconds."""
    return time.time_ns() // 1_000
