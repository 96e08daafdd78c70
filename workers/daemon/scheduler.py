"""Decide which offers start and how attempts end.

An offer waits until a slot is free. It then begins as an attempt: its start is reported, and it is
handed to the slots of its kind, which execute it. The slots call `ended` with its ending, and the
end is reported. A time-out, a cancellation, a stale lease or lost contact stops an attempt before
that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt, Ending, Failed, StopReason, now_us
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.messages import Succeeded
from taskmaster.workers.daemon.output import CappedOutput
from taskmaster.workers.daemon.slots import Slots
from taskmaster.workers.daemon.waiting_offers import WaitingOffers

log = logging.getLogger(__name__)

#: Name of the built-in task that runs a shell command.
SHELL = "shell"
#: Time between the soft signal and SIGKILL, after a time-out and after a cancellation or a stale
#: lease.
TIMEOUT_GRACE_S = 1.0
CANCEL_GRACE_S = 2.0
#: Shorter than the default of `lost_contact_margin_s` (3 s), the time between lost contact and the
#: earliest possible rescue.
_CONTACT_GRACE_S = 1.0
#: An attempt that does not end after SIGKILL (a process blocked in the kernel) is given up then.
_GIVE_UP_S = 5.0


class AttemptScheduler:
    """Assign attempts to the slots of this worker."""

    def __init__(
        self, slots: int, reports: ReportQueue, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = slots
        self._reports = reports
        self._clock = clock
        self._ids = itertools.count(1)
        self._waiting = WaitingOffers(reports.add_declined, clock)
        #: The running attempts by their number in this supervisor, and by (task, lease).
        self._running: dict[int, Attempt] = {}
        self._by_key: dict[tuple[int, int], Attempt] = {}
        self._python: Slots
        self._shell: Slots
        #: The task names that this worker can run. Other offers are declined.
        self.names: frozenset[str] = frozenset()
        #: Whether `_begin_waiting` will be called soon.
        self._begin_scheduled = False
        #: Set while no attempt runs. Offers that wait for a slot do not count.
        self.idle = asyncio.Event()
        self.idle.set()
        self.draining = False
        #: The welcome of a coordinator replaces this value.
        self._output_max_bytes = 262_144
        #: Number of attempts that have returned and failed since the start.
        self.done = 0
        self.failed = 0

    def open_slots(self, python: Slots, shell: Slots, names: frozenset[str]) -> None:
        """Set where attempts run and which names they may have, and start the children."""
        self._python, self._shell, self.names = python, shell, names
        python.open()
        shell.open()

    def configure(self, *, accept_timeout_s: float, output_max_bytes: int) -> None:
        """Apply the settings of the coordinator."""
        self._waiting.accept_timeout_s = accept_timeout_s
        self._output_max_bytes = output_max_bytes

    @property
    def running(self) -> list[tuple[int, int]]:
        """Return the (task, lease) pairs of the running attempts."""
        return [attempt.key for attempt in self._running.values()]

    @property
    def attempts(self) -> list[Attempt]:
        """Return the running attempts."""
        return list(self._running.values())

    @property
    def waiting(self) -> int:
        """Return the number of offers that wait for a slot."""
        return len(self._waiting)

    def offer(self, offers: Iterable[pb.Offer], *, confirm_first: bool = False) -> None:
        """Start the offers that find a free slot.

        The others wait for a short time and are then declined. Offers of unknown names are declined
        immediately. With `confirm_first`, which is set while a heartbeat is overdue, each start is
        made durable before its attempt runs, because the leases may no longer be valid.
        """
        now = self._clock()
        for offer in offers:
            attempt = Attempt.from_offer(next(self._ids), offer, now)
            attempt.unconfirmed = (
                confirm_first or attempt.may_have_started or attempt.stop_on_lost_contact
            )
            if self.draining or offer.name not in self.names:
                # Another worker may know the name. No attempt is used.
                self._reports.add_declined(attempt)
            else:
                self._waiting.append(attempt)
        self._begin_waiting()
        self._waiting.schedule_decline()

    def drop_offers(self) -> None:
        """Drop the waiting offers after the connection is lost.

        The coordinator offers these tasks to other workers.
        """
        self._waiting.clear()

    def undrain(self) -> None:
        """Accept tasks again."""
        self.draining = False

    def drain(self) -> None:
        """Accept no new tasks and decline the waiting offers."""
        self.draining = True
        self._waiting.decline_all()

    def _begin_waiting(self) -> None:
        """Begin waiting offers while slots are free."""
        self._begin_scheduled = False
        waiting, running = self._waiting, self._running
        while waiting and len(running) < self.slots:
            self._begin(waiting.popleft())
        self._python.flush()

    def _begin(self, attempt: Attempt) -> None:
        """Occupy a slot and report the start. Execute the attempt unless it is unconfirmed."""
        self.idle.clear()
        self._running[attempt.id] = attempt
        self._by_key[attempt.key] = attempt
        attempt.started_at_us = now_us()
        self._reports.add_start(attempt)
        if not attempt.unconfirmed:
            self._hand_over(attempt)

    def start_confirmed(self, attempts: Iterable[Attempt]) -> None:
        """Execute the attempts whose start was reported first and is durable now."""
        for attempt in attempts:
            if attempt.unconfirmed and attempt.id in self._running:
                attempt.unconfirmed = False
                self._hand_over(attempt)
                self._python.flush()

    def _hand_over(self, attempt: Attempt) -> None:
        """Start the time-out of an attempt and hand it to its slots, which execute it."""
        if attempt.timeout_ms:
            attempt.timer = asyncio.get_running_loop().call_later(
                attempt.timeout_ms / 1_000, self._timed_out, attempt
            )
        (self._shell if attempt.run.name == SHELL else self._python).begin(attempt)

    def ended(self, attempt: Attempt, ending: Ending) -> None:
        """Report the end of an attempt and start the next one.

        Its output must have been read before.
        """
        if self._running.pop(attempt.id, None) is None:
            return
        if self._by_key.get(attempt.key) is attempt:
            del self._by_key[attempt.key]
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.output is not None:
            attempt.output.finish()
        self._waiting.freed_at = self._clock()
        self._report(attempt, ending)
        if self._waiting and not self._begin_scheduled:
            # Ends arrive in batches. Starting the next attempts together sends one message per
            # child.
            self._begin_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_waiting)
        if not self._running:
            self.idle.set()

    def _report(self, attempt: Attempt, ending: Ending) -> None:
        """Report the end of an attempt as its stop reason requires."""
        match attempt.stop_reason:
            case StopReason.STALE:
                return
            case StopReason.TIMEOUT:
                text = f"time-out after {attempt.timeout_ms / 1_000:g} s"
                ending = _stopped(pb.EXIT_CLASS_TIMEOUT, text, ending)
            case StopReason.CANCELLED:
                ending = _stopped(pb.EXIT_CLASS_CANCELLED, "cancelled while running", ending)
            case StopReason.LOST_CONTACT:
                text = "stopped: its worker could not reach any coordinator"
                ending = _stopped(pb.EXIT_CLASS_LOST, text, ending)
            case StopReason.HANDED_BACK if isinstance(ending, Failed):
                self._reports.add_declined(attempt)
                return
        self.done += isinstance(ending, Succeeded)
        self.failed += isinstance(ending, Failed)
        self._reports.add_end(attempt, ending)

    def add_output(self, attempt: Attempt, stream: str, data: bytes | str) -> bool:
        """Add output of an attempt. Return True when its output may be read slowly."""
        output = attempt.output
        if output is None:
            output = attempt.output = CappedOutput(
                self._output_max_bytes, partial(self._reports.add_output, attempt)
            )
        if isinstance(data, bytes):
            output.add_bytes(stream, data)
        else:
            output.add_text(stream, data)
        return output.flooded

    def cancel(self, executions: Iterable[pb.Execution]) -> None:
        """Stop these executions, because their tasks were cancelled."""
        for execution in executions:
            key = (execution.task_id, execution.lease)
            if key in self._by_key:
                self._stop(self._by_key[key], StopReason.CANCELLED, CANCEL_GRACE_S)
            else:
                self._waiting.remove_keys({key})

    def stop_stale(self, executions: Iterable[pb.Execution]) -> None:
        """Stop the executions whose leases are stale. Nothing is reported for them."""
        keys = {(execution.task_id, execution.lease) for execution in executions}
        for key in keys & self._by_key.keys():
            self._stop(self._by_key[key], StopReason.STALE, CANCEL_GRACE_S)
        self._waiting.remove_keys(keys)

    def hand_back(self) -> None:
        """Kill the running attempts and hand their tasks back."""
        for attempt in list(self._running.values()):
            self._stop(attempt, StopReason.HANDED_BACK, 0)

    def contact_lost(self) -> None:
        """Stop the attempts that must not overlap with an execution on another worker."""
        for attempt in list(self._running.values()):
            if attempt.stop_on_lost_contact and attempt.stop_reason is None:
                self._stop(attempt, StopReason.LOST_CONTACT, _CONTACT_GRACE_S)

    def _timed_out(self, attempt: Attempt) -> None:
        self._stop(attempt, StopReason.TIMEOUT, TIMEOUT_GRACE_S)

    def _stop(self, attempt: Attempt, reason: StopReason, grace_s: float) -> None:
        """Stop an attempt: softly first, by force after the grace.

        The first reason stays, because it is reported. STALE and HANDED_BACK replace it, because
        the attempt must not be reported as ended then.
        """
        if attempt.stop_reason in (StopReason.STALE, StopReason.HANDED_BACK):
            return
        first = attempt.stop_reason is None
        if attempt.stop_reason is None or reason in (StopReason.STALE, StopReason.HANDED_BACK):
            attempt.stop_reason = reason
        log.info(
            "attempt stopped",
            extra={
                "task": attempt.task_id,
                "lease": attempt.lease,
                "reason": attempt.stop_reason.value,
            },
        )
        if attempt.unconfirmed:
            # No slot executes it yet.
            self.ended(attempt, Failed(pb.EXIT_CLASS_SIGNAL, "stopped before it ran"))
            return
        if first:
            asyncio.get_running_loop().call_later(
                grace_s + _GIVE_UP_S,
                self.ended,
                attempt,
                Failed(pb.EXIT_CLASS_SIGNAL, "did not end after SIGKILL"),
            )
        (self._shell if attempt.run.name == SHELL else self._python).stop(attempt, grace_s)


def _stopped(kind: pb.ExitClass.ValueType, message: str, ending: Ending) -> Failed:
    """Return the ending of an attempt that the supervisor stopped.

    The reason for the stop replaces the error of the task. The traceback is kept, since it shows
    where the task was.
    """
    trace = ending.traceback if isinstance(ending, Failed) else ""
    return Failed(kind, message, traceback=trace)
