"""Random histories of two tasks, longer than can be explored, on the real database.

The steps and events are those of the explorer, and the ledger under them is the real SQL: after
every step its rows must be what the transcription says, and the laws must hold. Besides, processes
freeze and come back, and hosts are cut off from each other for a while.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.protocol.events import events, touch, turn
from tests.property.protocol.laws import Ending, Law, broken_in
from tests.property.protocol.sql import Database, SqlLedger
from tests.property.protocol.state import AS_IS, Action, Limits, Row, Task, World
from tests.property.protocol.steps import step, ways

#: `None`: an event, which concerns all tasks.
Way = tuple[int | None, Action]
#: Who is still: ("coordinator", 0), ("worker", 1), or a pair of the two that is cut apart.
Still = tuple[str, int] | tuple[int, int]

_LIMITS = Limits(leases=1_000, reports=4, contact=True)
_PROCESSES: list[Still] = [(kind, k) for kind in ("coordinator", "worker") for k in (0, 1)]
_PATHS: list[Still] = [(c, w) for c in (0, 1) for w in (0, 1)]
#: What passes between a worker and a coordinator.
_TRAVELS = ("accept", "decline", "deliver", "hello", "heartbeat")


#: The rules: what each of them may do, the likelier the more often it stands there.
WORK = ("claim", "offer", "accept", "accept", "finish", *["deliver"] * 4)
REFUSAL = ("let_go", "withdraw", "decline", "lose")
LOSS = ("crash", "cut", "disconnect", "lose_contact")
RECOVERY = ("rescue", "take_over", "hello", "hello", "heartbeat")
BY_HAND = ("cancel", "move", "retry", "retry")


def one_of(kinds: tuple[str, ...]) -> Any:
    """A rule that takes one of the ways of these kinds, while there is any."""

    def take(self: Machine, data: st.DataObject) -> None:
        self.draw(data, kinds)

    return precondition(lambda self: self.kinds(kinds))(rule(data=st.data())(take))


def working() -> Any:
    """The rule that lets everybody do what is to be done, for a few steps."""

    def take(self: Machine, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            if self.kinds(WORK):
                self.draw(data, WORK)

    ready = precondition(lambda self: self.kinds(WORK))
    return ready(rule(data=st.data(), steps=st.integers(3, 12))(take))


class Machine(RuleBasedStateMachine):
    """Two coordinators, two workers, two tasks, of which one is stoppable."""

    #: Set by the test.
    database: Database
    rules_played = AS_IS
    #: How often each kind of step was taken, in all histories.
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
        self.still: set[Still] = set()
        self.survivors = True
        self.asked = 0
        self._ways: dict[str, list[Way]] | None = None

    @initialize(survivors=st.booleans())
    def choose_ending(self, survivors: bool) -> None:
        """Whether any worker is alive at the end."""
        self.survivors = survivors

    # ---- what may happen --------------------------------------------------------------------

    # Hypothesis leaves some rules out of each history, but hardly both of these.
    work = working()
    go_on = working()
    refuse = one_of(REFUSAL)
    lose = one_of(LOSS)
    recover = one_of(RECOVERY)

    @rule(data=st.data())
    @precondition(lambda self: self.asked < 4 and self.kinds(BY_HAND))
    def ask(self, data: st.DataObject) -> None:
        """A person cancels, moves or retries a task."""
        self.asked += 1
        self.draw(data, BY_HAND)

    @rule(who=st.sampled_from(_PROCESSES + _PATHS))
    @precondition(lambda self: len(self.still) < 2)
    def freeze(self, who: Still) -> None:
        """A process stands still, or a path is cut."""
        self.still.add(who)
        self._ways = None

    @rule(data=st.data())
    @precondition(lambda self: self.still)
    def come_back(self, data: st.DataObject) -> None:
        """It goes on where it was."""
        self.still.remove(data.draw(st.sampled_from(sorted(self.still, key=str)), label="who"))
        self._ways = None

    def kinds(self, wanted: tuple[str, ...]) -> list[str]:
        """Those of these kinds of which anything may happen next."""
        return [kind for kind in wanted if self.ways(kind)]

    def draw(self, data: st.DataObject, wanted: tuple[str, ...]) -> None:
        """Takes a way of one of these kinds."""
        kind = data.draw(st.sampled_from(self.kinds(wanted)), label="kind")
        self.take(data.draw(st.sampled_from(self.ways(kind)), label="way"))

    def ways(self, kind: str) -> list[Way]:
        """What of this kind may happen next."""
        if self._ways is None:
            self._ways = {}
            found: list[Way] = [(None, action) for action in events(self.world, _LIMITS)]
            for index, task in enumerate(self.tasks):
                found += [(index, action) for action in ways(task, self.world, _LIMITS)]
            # In an order of its own: that of sets changes from process to process.
            for way in sorted(found, key=str):
                if not self._held_up(way[1]):
                    self._ways.setdefault(way[1].kind, []).append(way)
        return self._ways.get(kind, [])

    def _held_up(self, action: Action) -> bool:
        kind, c, w = action.kind, action.coordinator, action.worker
        if kind == "crash" and not self._another(action):
            # Nothing would happen any more; how such a history ends, `teardown` tries.
            return True
        if kind in ("crash", "lose", "cut", "take_over"):
            # They happen to whoever they happen to.
            return False
        if action.report is not None:
            w = action.report.worker
        path = kind in _TRAVELS and (c, w) in self.still
        # A report that is on its way does not need its worker any more.
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

    # ---- it happens -------------------------------------------------------------------------

    def take(self, way: Way) -> None:
        """Goes one way and looks at the laws."""
        index, action = way
        self.counts[action.kind] += 1
        if index is not None:
            task = step(self.tasks[index], self.world, action, self.ledgers[index])
            self.tasks[index] = task
        else:
            pairs = zip(self.tasks, self.ledgers, strict=True)
            self.tasks = [touch(task, self.world, action, ledger) for task, ledger in pairs]
            self.world = turn(self.world, action)
        self._ways = None
        self._check()

    def _check(self) -> None:
        broken = {law for ledger in self.ledgers for law in ledger.broken}
        broken.update(law for task in self.tasks for law in broken_in(task, self.world))
        assert not broken, "; ".join(sorted(broken))

    @invariant()
    def the_rows_are_what_the_model_says(self) -> None:
        """No statement has touched the row of another task."""
        assert self.database.rows() == [task.row for task in self.tasks]

    def teardown(self) -> None:
        """Whatever has happened: in the end every task is pending or finished."""
        ending = Ending(self.tasks, self.world, list(self.ledgers))
        stuck = ending.stuck(survivors=self.survivors)
        self._check()
        assert not stuck, Law.UNSTUCK
