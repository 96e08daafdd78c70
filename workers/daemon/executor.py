"""Which offers begin, and how attempts end: slots, the wait for one, time-outs, cancellation."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from proto import taskmaster_pb2 as pb
from workers.daemon.attempt import Attempt, Broken, Returned, Stop, now_us
from workers.daemon.output import Output
from workers.daemon.reports import Reports
from workers.daemon.slots import Slots

log = logging.getLogger(__name__)

SHELL = "shell"
#: An offer waits this long for a slot; behind a long task it is better off elsewhere.
WAIT_S = 0.1
#: While slots keep freeing themselves it may wait longer, up to this part of the accept time-out.
_WAIT_PART = 0.4
_TICK_S = 0.02
#: From the soft signal to SIGKILL.
TIMEOUT_GRACE_S = 1.0
CANCEL_GRACE_S = 2.0
#: Less than the margin of a second by which contact must be lost before a rescue could begin.
_CONTACT_GRACE_S = 1.0
#: What does not end after SIGKILL (a process in the kernel) is given up after this time.
_GIVE_UP_S = 5.0


class Executor:
    """The slots of this worker."""

    def __init__(
        self, slots: int, reports: Reports, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = slots
        self._reports = reports
        self._clock = clock
        self._ids = itertools.count(1)
        self._waiting: deque[Attempt] = deque()
        self._running: dict[int, Attempt] = {}
        self._by_key: dict[tuple[int, int], Attempt] = {}
        self._python: Slots
        self._shell: Slots
        self._tick: asyncio.TimerHandle | None = None
        self._freed_at = 0.0
        self._beginning = False
        #: Set while nothing runs and nothing waits.
        self.idle = asyncio.Event()
        self.idle.set()
        self.draining = False
        self.accept_timeout_s = 2.0
        self.output_max_bytes = 262_144
        self.done = 0
        self.failed = 0

    def use(self, python: Slots, shell: Slots) -> None:
        """Where attempts run. Starts the children."""
        self._python, self._shell = python, shell
        python.open()
        shell.open()

    # ---- what a heartbeat and a hello say ---------------------------------------------------

    @property
    def running(self) -> list[tuple[int, int]]:
        """(task, lease) of what runs."""
        return [attempt.key for attempt in self._running.values()]

    @property
    def waiting(self) -> int:
        """Offers that wait for a slot."""
        return len(self._waiting)

    # ---- offers -----------------------------------------------------------------------------

    def offer(self, offers: Iterable[pb.Offer], *, doubtful: bool = False) -> None:
        """Begins what finds a slot; the rest waits shortly, or is declined.

        `doubtful`: they may have been on their way for long, and may be another's by now.
        """
        now = self._clock()
        for offer in offers:
            attempt = Attempt(
                next(self._ids),
                offer.task_id,
                offer.lease,
                offer.attempt,
                offer.name,
                offer.args,
                offer.kwargs,
                offer.timeout_ms,
                offer.queue,
                offer.priority,
                offer.created_at_us,
                offer.stop_on_lost_contact,
                now,
            )
            attempt.unconfirmed = doubtful or attempt.suspect or attempt.stop_on_lost_contact
            if self.draining:
                self._reports.declined(attempt)
            else:
                self._waiting.append(attempt)
        self._begin_waiting()
        self._watch_waiting()

    def forget_offers(self) -> None:
        """The connection is lost: what has not begun is offered elsewhere by itself."""
        self._waiting.clear()

    def undrain(self) -> None:
        """Takes tasks again."""
        self.draining = False

    def drain(self) -> None:
        """Takes nothing new; what waits is handed back."""
        self.draining = True
        for attempt in self._waiting:
            self._reports.declined(attempt)
        self._waiting.clear()

    def _begin_waiting(self) -> None:
        self._beginning = False
        waiting, running = self._waiting, self._running
        while waiting and len(running) < self.slots:
            self._begin(waiting.popleft())
        self._python.flush()

    def _begin(self, attempt: Attempt) -> None:
        self.idle.clear()
        self._running[attempt.id] = attempt
        self._by_key[attempt.key] = attempt
        attempt.started_at_us = now_us()
        self._reports.started(attempt)
        if not attempt.unconfirmed:
            self._hand_over(attempt)

    def confirmed(self, attempts: Iterable[Attempt]) -> None:
        """The starts of these are durable: what waited for that may run now."""
        for attempt in attempts:
            if attempt.unconfirmed and attempt.id in self._running:
                attempt.unconfirmed = False
                self._hand_over(attempt)
                self._python.flush()

    def _hand_over(self, attempt: Attempt) -> None:
        if attempt.timeout_ms:
            attempt.timer = asyncio.get_running_loop().call_later(
                attempt.timeout_ms / 1_000, self._timed_out, attempt
            )
        (self._shell if attempt.name == SHELL else self._python).begin(attempt)

    def _watch_waiting(self) -> None:
        if self._waiting and self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(_TICK_S, self._decline_old)

    def _decline_old(self) -> None:
        """Hands back offers that would be held behind long tasks."""
        self._tick = None
        now = self._clock()
        moving = now - self._freed_at < WAIT_S / 2
        longest = self.accept_timeout_s * _WAIT_PART if moving else WAIT_S
        while self._waiting and now - self._waiting[0].offered_at > longest:
            self._reports.declined(self._waiting.popleft())
        self._watch_waiting()

    # ---- the end of an attempt --------------------------------------------------------------

    def ended(self, attempt: Attempt, ending: Returned | Broken) -> None:
        """An attempt is over and all that it printed is read: reports it, begins the next."""
        if self._running.pop(attempt.id, None) is None:
            return
        if self._by_key.get(attempt.key) is attempt:
            del self._by_key[attempt.key]
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.output is not None:
            attempt.output.finish()
        self._freed_at = self._clock()
        self._report(attempt, ending)
        if self._waiting and not self._beginning:
            # Ends come many at a time, and then so many begin with one message to their child.
            self._beginning = True
            asyncio.get_running_loop().call_soon(self._begin_waiting)
        if not self._running:
            self.idle.set()

    def _report(self, attempt: Attempt, ending: Returned | Broken) -> None:
        match attempt.stop:
            case Stop.STALE:
                return
            case Stop.TIMEOUT:
                text = f"time-out after {attempt.timeout_ms / 1_000:g} s"
                ending = _stopped(pb.EXIT_CLASS_TIMEOUT, text, ending)
            case Stop.CANCELLED:
                ending = _stopped(pb.EXIT_CLASS_CANCELLED, "cancelled while it ran", ending)
            case Stop.LOST_CONTACT:
                text = "stopped: its worker could not reach any coordinator"
                ending = _stopped(pb.EXIT_CLASS_LOST, text, ending)
            case Stop.HANDED_BACK if isinstance(ending, Broken):
                self._reports.declined(attempt)
                return
        self.done += isinstance(ending, Returned)
        self.failed += isinstance(ending, Broken)
        self._reports.ended(attempt, ending)

    def printed(self, attempt: Attempt, stream: str, data: bytes | str) -> bool:
        """Keeps output of an attempt; whether there is no haste in reading on."""
        output = attempt.output
        if output is None:
            output = attempt.output = Output(attempt, self.output_max_bytes, self._reports.output)
        if isinstance(data, bytes):
            output.add_bytes(stream, data)
        else:
            output.add_text(stream, data)
        return output.flooded

    # ---- stopping ---------------------------------------------------------------------------

    def cancel(self, executions: Iterable[pb.Execution]) -> None:
        """Somebody cancelled these tasks."""
        for execution in executions:
            key = (execution.task_id, execution.lease)
            if key in self._by_key:
                self._stop(self._by_key[key], Stop.CANCELLED, CANCEL_GRACE_S)
            else:
                self._drop_waiting({key})

    def stale(self, executions: Iterable[pb.Execution]) -> None:
        """These leases are another's: stops them, reports nothing."""
        keys = {(execution.task_id, execution.lease) for execution in executions}
        for key in keys & self._by_key.keys():
            self._stop(self._by_key[key], Stop.STALE, CANCEL_GRACE_S)
        self._drop_waiting(keys)

    def hand_back(self) -> None:
        """Kills what still runs and offers it to others."""
        for attempt in list(self._running.values()):
            self._stop(attempt, Stop.HANDED_BACK, 0)

    def lose_contact(self) -> None:
        """Stops what must not run while another worker may be given it."""
        for attempt in list(self._running.values()):
            if attempt.stop_on_lost_contact and attempt.stop is None:
                self._stop(attempt, Stop.LOST_CONTACT, _CONTACT_GRACE_S)

    def _drop_waiting(self, keys: set[tuple[int, int]]) -> None:
        if any(attempt.key in keys for attempt in self._waiting):
            self._waiting = deque(each for each in self._waiting if each.key not in keys)

    def _timed_out(self, attempt: Attempt) -> None:
        self._stop(attempt, Stop.TIMEOUT, TIMEOUT_GRACE_S)

    def _stop(self, attempt: Attempt, why: Stop, grace_s: float) -> None:
        if attempt.stop in (Stop.STALE, Stop.HANDED_BACK):
            return
        first = attempt.stop is None
        if first or why in (Stop.STALE, Stop.HANDED_BACK):
            attempt.stop = why
        log.info(
            "attempt stopped",
            extra={"task": attempt.task_id, "lease": attempt.lease, "why": attempt.stop.value},  # type: ignore[union-attr]
        )
        if attempt.unconfirmed:
            self.ended(attempt, Broken(pb.EXIT_CLASS_SIGNAL, "stopped before it ran"))
            return
        if first:
            asyncio.get_running_loop().call_later(
                grace_s + _GIVE_UP_S, self.ended, attempt, Broken(pb.EXIT_CLASS_SIGNAL, "given up")
            )
        (self._shell if attempt.name == SHELL else self._python).stop(attempt, grace_s)


def _stopped(kind: pb.ExitClass.ValueType, message: str, ending: Returned | Broken) -> Broken:
    """What the supervisor did counts, not how the task took it; where it was stands there still."""
    trace = ending.traceback if isinstance(ending, Broken) else ""
    return Broken(kind, message, traceback=trace)
