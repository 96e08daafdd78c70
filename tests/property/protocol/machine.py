"""Run random histories of two tasks, longer than can be explored, on the real database.

Steps and events are those of the explorer, but the ledger runs the real SQL. After every step its
rows must match the transcription, and the laws must hold. In addition, processes freeze and resume,
and paths between hosts are cut and restored.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.protocol.events import apply_to_task, apply_to_world, events
from tests.property.protocol.laws import Ending, Law, broken_in
from tests.property.protocol.sql import Database, SqlLedger
from tests.property.protocol.state import AS_IS, Action, Limits, Row, Task, World
from tests.property.protocol.steps import possible, step

#: `None`: an event, which concerns all tasks.
Step = tuple[int | None, Action]
#: What is frozen: ("coordinator", 0), ("worker", 1), or the cut path between a coordinator and a
#: worker.
Frozen = tuple[str, int] | tuple[int, int]

_LIMITS = Limits(leases=1_000, reports=4, parking=True, contact=True, pausing=True)
_PROCESSES: list[Frozen] = [(kind, k) for kind in ("coordinator", "worker") for k in (0, 1)]
_PATHS: list[Frozen] = [(c, w) for c in (0, 1) for w in (0, 1)]
#: Messages between a worker and a coordinator.
_TRAVELS = ("accept", "decline", "deliver", "hello", "heartbeat")


#: The rules and their kinds of steps; a repeated kind is more likely.
WORK = ("claim", "offer", "accept", "accept", "finish", *["deliver"] * 4)
REFUSAL = ("let_go", "park", "withdraw", "decline", "lose")
LOSS = ("crash", "cut", "disconnect", "lose_contact")
RECOVERY = ("rescue", "take_over", "hello", "hello", "heartbeat", "unpark")
BY_HAND = ("cancel", "reschedule", "retry", "retry", "release_paused")


def one_of(kinds: tuple[str, ...]) -> Any:
    """Return a rule that takes a step of one of these kinds, if one is possible."""

    def take(self: Machine, data: st.DataObject) -> None:
        self.draw(data, kinds)

    return precondition(lambda self: self.kinds(kinds))(rule(data=st.data())(take))


def working() -> Any:
    """Return a rule that performs the pending work for a few steps."""

    def take(self: Machine, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            if self.kinds(WORK):
                self.draw(data, WORK)

    ready = precondition(lambda self: self.kinds(WORK))
    return ready(rule(data=st.data(), steps=st.integers(3, 12))(take))


class Machine(RuleBasedStateMachine):
    """Two coordinators, two workers, and two tasks, of which one is stoppable."""

    #: Set by the test.
    database: Database
    rules_played = AS_IS
    #: The number of steps of each kind, in all histories.
    counts: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        rows = [Row(), Row(stop=True)]
        self.database.fill(rows)
        self.tasks = [Task(row) for row in rows]
        self.world = World(faults=5)
        self.ledgers = [
            SqlLedger(self.database, k + 1, self.rules_played) for k in range(len(rows))
        ]
        self.still: set[Frozen] = set()
        self.survivors = True
        self.asked = 0
        self._steps: dict[str, list[Step]] | None = None

    @initialize(survivors=st.booleans())
    def choose_ending(self, survivors: bool) -> None:
        """Choose whether any worker is alive at the end."""
        self.survivors = survivors

    # ---- possible steps ---------------------------------------------------------------------

    # Hypothesis omits some rules from each history, but rarely both of these.
    work = working()
    go_on = working()
    refuse = one_of(REFUSAL)
    lose = one_of(LOSS)
    recover = one_of(RECOVERY)

    @rule(data=st.data())
    @precondition(lambda self: self.asked < 4 and self.kinds(BY_HAND))
    def change_manually(self, data: st.DataObject) -> None:
        """Cancel, reschedule or retry a task manually, or pause its queue."""
        self.asked += 1
        self.draw(data, BY_HAND)

    @rule(frozen=st.sampled_from(_PROCESSES + _PATHS))
    @precondition(lambda self: len(self.still) < 2)
    def freeze(self, frozen: Frozen) -> None:
        """Freeze a process, or cut a path."""
        self.still.add(frozen)
        self._steps = None

    @rule(data=st.data())
    @precondition(lambda self: self.still)
    def resume(self, data: st.DataObject) -> None:
        """Resume a process or restore a path."""
        self.still.remove(data.draw(st.sampled_from(sorted(self.still, key=str)), label="frozen"))
        self._steps = None

    def kinds(self, wanted: tuple[str, ...]) -> list[str]:
        """Return the kinds of which a step is possible."""
        return [kind for kind in wanted if self.steps(kind)]

    def draw(self, data: st.DataObject, wanted: tuple[str, ...]) -> None:
        """Take a step of one of these kinds."""
        kind = data.draw(st.sampled_from(self.kinds(wanted)), label="kind")
        self.take(data.draw(st.sampled_from(self.steps(kind)), label="step"))

    def steps(self, kind: str) -> list[Step]:
        """Return the possible steps of this kind."""
        if self._steps is None:
            self._steps = {}
            found: list[Step] = [(None, action) for action in events(self.world, _LIMITS)]
            for index, task in enumerate(self.tasks):
                found += [(index, action) for action in possible(task, self.world, _LIMITS)]
            # Sort them: the order of sets differs between processes.
            for each in sorted(found, key=str):
                if not self._held_up(each[1]):
                    self._steps.setdefault(each[1].kind, []).append(each)
        return self._steps.get(kind, [])

    def _held_up(self, action: Action) -> bool:
        kind, c, w = action.kind, action.coordinator, action.worker
        if kind == "crash" and not self._another(action):
            # No step would be possible any more; `teardown` tests how such a history ends.
            return True
        if kind in ("crash", "lose", "cut", "take_over"):
            # Events do not depend on the process that they affect.
            return False
        if action.report is not None:
            w = action.report.worker
        path = kind in _TRAVELS and (c, w) in self.still
        # A report in transit does not need its worker any more.
        workers = () if kind in ("deliver", "disconnect", "offer", "withdraw", "rescue") else (w,)
        coordinators = () if kind in ("accept", "decline") else (c,)
        return (
            path
            or any(("worker", each) in self.still for each in workers)
            or any(("coordinator", each) in self.still for each in coordinators)
        )

    def _another(self, crash: Action) -> bool:
        if crash.worker is None:
            return sum(self.world.alive) > 1
        return sum(worker.alive for worker in self.world.workers) > 1

    # ---- taking a step ----------------------------------------------------------------------

    def take(self, chosen: Step) -> None:
        """Take one step and check the laws."""
        index, action = chosen
        self.counts[action.kind] += 1
        if index is not None:
            task = step(self.tasks[index], self.world, action, self.ledgers[index])
            self.tasks[index] = task
        else:
            pairs = zip(self.tasks, self.ledgers, strict=True)
            self.tasks = [apply_to_task(task, self.world, action, ledger) for task, ledger in pairs]
            self.world = apply_to_world(self.world, action)
        self._steps = None
        self._check()

    def _check(self) -> None:
        broken = {law for ledger in self.ledgers for law in ledger.broken}
        broken.update(law for task in self.tasks for law in broken_in(task, self.world))
        assert not broken, "; ".join(sorted(broken))

    @invariant()
    def the_rows_are_what_the_model_says(self) -> None:
        """Check that no statement has changed the row of another task."""
        assert self.database.rows() == [task.row for task in self.tasks]

    def teardown(self) -> None:
        """Check that at the end every task is pending or finished."""
        ending = Ending(self.tasks, self.world, list(self.ledgers))
        stuck = ending.stuck(survivors=self.survivors)
        self._check()
        assert not stuck, Law.UNSTUCK
