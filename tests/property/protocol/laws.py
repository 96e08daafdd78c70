"""Define what must hold after every step of every history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from taskmaster.tasks.lifecycle import FINISHED, IN_FLIGHT, LEGAL, Status, Transition
from tests.property.protocol.events import apply_to_task, apply_to_world
from tests.property.protocol.guards import Call
from tests.property.protocol.state import COORDINATORS, WORKERS, Action, Row, Task, World
from tests.property.protocol.steps import Ledger, step


class Law(StrEnum):
    """The guarantees of the protocol."""

    LEGAL = "a change is in the table of legal transitions"
    GROWING = "a lease only grows, and by one with each claim"
    FENCED = "a report of a stale lease changes nothing"
    FINISHED = "a finished task changes only by a manual retry"
    RESULT = "the recorded result is of an execution under the newest lease"
    COUNTED = "attempt counts accepted executions, and never exceeds max_attempts"
    ACCOUNTED = "no lease counts both as unused and as an attempt"
    ONE_HOLDER = "no two coordinators hold a task under one lease"
    ONE_RUNNER = "no two workers run a task under one lease"
    UNDISTURBED = "a coordinator releases or parks only tasks that it holds"
    UNSTUCK = "after any deaths, a task ends up pending, parked or finished"
    NOT_TWICE = "a stoppable task never runs on two workers concurrently"


#: Statements that name a lease.
_FENCED = ("start", "complete", "fail", "release", "park")
#: The change of `attempt` by each statement, from picked and from started.
_COUNTS = {"start": (1, 0), "complete": (1, 0), "fail": (1, 0), "release": (0, -1)}


def broken_by_call(before: Row, call: Call, after: Row, passed: bool) -> Iterator[Law]:
    """Yield the laws that a statement breaks, from the row before and after it."""
    old = Status(before.status)
    if not passed:
        if after != before:
            yield Law.LEGAL
        return
    if call.name == "adopt":
        # A worker that announces an unreported execution may begin it.
        legal = after.status in (before.status, "started") and old in IN_FLIGHT
    elif call.name == "live":
        legal = after == before
    else:
        legal = Status(after.status) in LEGAL[old].get(Transition[call.name.upper()], frozenset())
    if not legal:
        yield Law.LEGAL
    if after.lease < before.lease or (call.name == "claim") != (
        after.lease == before.lease + 1 and call.name != "reschedule"
    ):
        yield Law.GROWING
    if call.name in _FENCED and (call.lease != before.lease or old not in IN_FLIGHT):
        yield Law.FENCED
    if old in FINISHED and call.name != "retry":
        yield Law.FINISHED
    if after.status == "complete" and not (after.result == after.lease == before.lease):
        yield Law.RESULT
    if (
        after.attempt - before.attempt != _counted(before, call, after)
        or not 0 <= after.attempt <= after.max_attempts
    ):
        yield Law.COUNTED
    if after.unused + after.attempt > after.lease:
        yield Law.ACCOUNTED
    is_own = before.coordinator == call.coordinator and before.status == "picked"
    if call.name in ("release", "park") and not (call.begun or is_own):
        yield Law.UNDISTURBED


def _counted(before: Row, call: Call, after: Row) -> int:
    if call.name == "adopt":
        return int(after.status != before.status)
    return _COUNTS.get(call.name, (0, 0))[before.status == "started"]


def broken_in(task: Task, world: World) -> Iterator[Law]:
    """Yield the laws that a state breaks."""
    offered = [(x.lease, x.coordinator) for x in task.flights if not x.accepted]
    offered += [(x.lease, x.coordinator) for x in task.held]
    if len(offered) > 1 and _clash(offered):
        yield Law.ONE_HOLDER
    if len(task.runs) > 1:
        if _clash((run.lease, run.worker) for run in task.runs):
            yield Law.ONE_RUNNER
        if task.row.stop and len({run.worker for run in task.runs if run.begun}) > 1:
            yield Law.NOT_TWICE


def _clash(pairs: Iterable[tuple[int, int]]) -> bool:
    holders: dict[int, int] = {}
    return any(holders.setdefault(lease, holder) != holder for lease, holder in pairs)


# ---- no task is stuck -----------------------------------------------------------------------


class Ending:
    """Complete a history without further faults, and find tasks that remain in flight."""

    def __init__(self, tasks: list[Task], world: World, ledgers: list[Ledger]) -> None:
        self.tasks = list(tasks)
        self.world = world
        self._ledgers = ledgers

    def stuck(self, *, survivors: bool) -> bool:
        """Return whether a task stays in flight.

        Without `survivors` all workers die and all messages are lost. With them the live workers
        finish their tasks and report them. Then the coordinators do their periodic work.
        """
        if survivors:
            self._finish()
        else:
            for w in WORKERS:
                if self.world.workers[w].alive:
                    self._event(Action("crash", worker=w))
            self.tasks = [
                task._replace(offers=frozenset(), reports=frozenset()) for task in self.tasks
            ]
        self._clean_up()
        return any(Status(task.row.status) in IN_FLIGHT for task in self.tasks)

    def _event(self, action: Action) -> None:
        pairs = zip(self.tasks, self._ledgers, strict=True)
        self.tasks = [apply_to_task(task, self.world, action, ledger) for task, ledger in pairs]
        self.world = apply_to_world(self.world, action)

    def _step(self, index: int, action: Action) -> None:
        self.tasks[index] = step(self.tasks[index], self.world, action, self._ledgers[index])

    def _finish(self) -> None:
        for w, worker in enumerate(self.world.workers):
            if worker.alive:
                self._connect(w)
        for _ in range(2):
            # The first round reports the start of running tasks, the second their end.
            for index in range(len(self.tasks)):
                self._report(index)
            for w, worker in enumerate(self.world.workers):
                if worker.alive and (worker.at, w) in self.world.links:
                    self._event(Action("heartbeat", worker.at, w))
            for index, task in enumerate(self.tasks):
                for run in task.runs:
                    self._step(index, Action("finish", None, run.worker, run.lease, how="complete"))
        for index in range(len(self.tasks)):
            self._report(index)

    def _connect(self, w: int) -> None:
        at = self.world.workers[w].at
        if at is not None and (at, w) not in self.world.links:
            self._event(Action("cut", at, w))
        for c in COORDINATORS:
            if self.world.alive[c] and self.world.workers[w].at is None:
                self._event(Action("hello", c, w))

    def _report(self, index: int) -> None:
        for report in sorted(self.tasks[index].reports, key=str):
            at = self.world.workers[report.worker].at
            if at is not None and self.world.alive[at] and not report.acked:
                self._step(index, Action("deliver", at, report=report, how="receipt"))
            else:
                self._step(index, Action("lose", report=report))

    def _clean_up(self) -> None:
        for index in range(len(self.tasks)):
            for held in self.tasks[index].held:
                self._step(index, Action("let_go", held.coordinator, lease=held.lease))
            for flight in self.tasks[index].flights:
                if not flight.accepted:
                    self._step(index, Action("withdraw", *flight[:3]))
        for c, w in self.world.links:
            if not self.world.workers[w].alive or self.world.workers[w].at != c:
                self._event(Action("disconnect", c, w))
        for c, w, rescued in self.world.lost:
            if not rescued:
                self._event(Action("rescue", c, w))
            self._event(Action("rescue", c, w, how="stoppable"))
        for c in COORDINATORS:
            if not self.world.alive[c]:
                for how in ("held", "started", "stoppable"):
                    self._event(Action("take_over", c, how=how))
