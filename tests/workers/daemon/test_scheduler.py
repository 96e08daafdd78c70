"""Test which offers start, and how their ends are reported."""

from __future__ import annotations

import asyncio
from typing import Any

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt
from taskmaster.workers.daemon.connection.report_queue import ReportQueue
from taskmaster.workers.daemon.messages import ProcessExit, Succeeded
from taskmaster.workers.daemon.scheduler import AttemptScheduler
from taskmaster.workers.daemon.slots.process import ProcessSlots
from taskmaster.workers.daemon.slots.shell import ShellSlots
from tests.waiting import until
from tests.workers.daemon.slots.server import Server


def an_offer(task_id: int, **fields: Any) -> pb.Offer:
    return pb.Offer(**{"task_id": task_id, "lease": 1, "attempt": 1, "name": "some.task", **fields})


class Bench:
    """Hold a scheduler with real slots, on a fork server without processes."""

    def __init__(self, slots: int) -> None:
        self.updates: list[pb.StatusUpdate] = []
        self.reports = ReportQueue("heron")
        # The clock stands still, so that an offer waits for as long as a test needs.
        self.scheduler = AttemptScheduler(slots, self.reports, lambda: 0.0)
        self.server: Any = Server()
        ways = (self.scheduler.ended, self.scheduler.add_output)
        self.scheduler.open_slots(
            ProcessSlots(self.server, slots, *ways),
            ShellSlots(self.server, *ways),
            frozenset({"some.task", "shell"}),
        )

    def attempt(self, task_id: int) -> Attempt:
        """Return the running attempt of a task."""
        return next(each for each in self.scheduler._running.values() if each.task_id == task_id)

    def child_of(self, attempt: Attempt) -> Any:
        """Return the child that executes an attempt, or None."""
        return next((each for each in self.server.children if attempt.id in each.attempts), None)

    def succeed(self, task_id: int) -> None:
        """Report from its child that a task has returned."""
        attempt = self.attempt(task_id)
        child = self.child_of(attempt)
        child._on_report(child, Succeeded(attempt.id, 1, 2, "42"))

    def die(self, task_id: int) -> None:
        """End the child of a task with SIGKILL."""
        child = self.child_of(self.attempt(task_id))
        child._on_exit(child, ProcessExit(child.id, -9, oom=False))

    @property
    def killed(self) -> list[int]:
        return [number for what, number in self.server.requests if what == "kill"]

    async def reported(self) -> pb.StatusUpdate:
        """Send the queued reports and return them as one message."""

        async def take(update: pb.StatusUpdate) -> pb.StatusAcknowledgement:
            found.MergeFrom(update)
            return pb.StatusAcknowledgement()

        found = pb.StatusUpdate()
        sending = asyncio.create_task(self.reports.run(take))
        await until(self.reports.all_acknowledged.is_set)
        sending.cancel()
        return found


async def test_an_offer_of_an_unknown_name_is_declined_without_an_attempt() -> None:
    bench = Bench(slots=2)
    bench.scheduler.offer([an_offer(1, name="newcode.fresh"), an_offer(2)])
    assert bench.scheduler.running == [(2, 1)]
    update = await bench.reported()
    assert [each.task_id for each in update.declined] == [1]
    assert [each.task_id for each in update.started] == [2]


async def test_an_offer_without_a_free_slot_begins_when_an_attempt_ends() -> None:
    bench = Bench(slots=1)
    bench.scheduler.offer([an_offer(1), an_offer(2)])
    assert (bench.scheduler.running, bench.scheduler.waiting) == ([(1, 1)], 1)
    bench.succeed(1)
    await until(lambda: bench.scheduler.running == [(2, 1)])
    assert bench.scheduler.waiting == 0
    assert not bench.scheduler.idle.is_set()
    bench.succeed(2)
    assert bench.scheduler.idle.is_set()
    assert [each.task_id for each in (await bench.reported()).completed] == [1, 2]


async def test_an_attempt_that_may_have_run_before_waits_for_its_durable_start() -> None:
    bench = Bench(slots=1)
    bench.scheduler.offer([an_offer(1, lease=2)])
    attempt = bench.attempt(1)
    assert bench.child_of(attempt) is None
    assert [each.lease for each in (await bench.reported()).started] == [2]
    bench.scheduler.start_confirmed([attempt])
    assert bench.child_of(attempt) is not None


async def test_an_attempt_that_certainly_never_ran_starts_immediately() -> None:
    bench = Bench(slots=1)
    bench.scheduler.offer([an_offer(1, lease=4, unused_leases=3)])
    assert bench.child_of(bench.attempt(1)) is not None


async def test_the_reason_of_a_stop_replaces_the_end_of_the_child() -> None:
    bench = Bench(slots=2)
    bench.scheduler.offer([an_offer(1), an_offer(2, timeout_ms=1)])
    bench.scheduler.cancel([pb.Execution(task_id=1, lease=1)])
    await until(lambda: len(bench.killed) == 2)
    bench.die(1)
    bench.die(2)
    assert [(each.task_id, each.exit_class) for each in (await bench.reported()).failed] == [
        (1, pb.EXIT_CLASS_CANCELLED),
        (2, pb.EXIT_CLASS_TIMEOUT),
    ]
    assert bench.scheduler.failed == 2


async def test_the_end_of_an_attempt_with_a_stale_lease_is_not_reported() -> None:
    bench = Bench(slots=1)
    bench.scheduler.offer([an_offer(1)])
    await bench.reported()
    stale = pb.Execution(task_id=1, lease=1)
    bench.scheduler.stop_stale([pb.Execution(task_id=1, lease=2)])
    assert not bench.killed
    bench.scheduler.stop_stale([stale])
    assert bench.killed
    bench.die(1)
    assert bench.scheduler.idle.is_set()
    assert bench.reports.unacknowledged == 0


async def test_a_draining_worker_declines_offers_and_keeps_its_attempts() -> None:
    bench = Bench(slots=1)
    bench.scheduler.offer([an_offer(1), an_offer(2)])
    bench.scheduler.drain()
    bench.scheduler.offer([an_offer(3)])
    assert bench.scheduler.running == [(1, 1)]
    assert [each.task_id for each in (await bench.reported()).declined] == [2, 3]
    bench.scheduler.undrain()
    bench.scheduler.offer([an_offer(4)])
    assert bench.scheduler.waiting == 1


async def test_a_task_that_is_handed_back_is_declined_unless_it_has_returned() -> None:
    bench = Bench(slots=2)
    bench.scheduler.offer([an_offer(1), an_offer(2)])
    bench.scheduler.hand_back()
    bench.succeed(1)
    bench.die(2)
    update = await bench.reported()
    assert [each.task_id for each in update.completed] == [1]
    assert [each.task_id for each in update.declined] == [2]
    assert not update.failed
