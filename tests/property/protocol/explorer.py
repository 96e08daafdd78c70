"""Explore every history of a small size, breadth first: the first violation has the shortest
history.

A state is one `Task` for each task and one `World`. Each gets a number, and the successors of a
(task, world) are computed once: exploring two tasks is then mostly a lookup.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple, TypeAlias

from taskmaster.tasks.lifecycle import IN_FLIGHT, Status
from tests.property.protocol.events import apply_to_task, apply_to_world, events
from tests.property.protocol.guards import Call, transcribed
from tests.property.protocol.laws import Ending, Law, broken_by_call, broken_in
from tests.property.protocol.state import AS_IS, Action, Limits, Row, Rules, Task, World
from tests.property.protocol.steps import Ledger, possible, step

#: The numbers of the tasks, sorted because tasks are interchangeable, and that of the world.
State: TypeAlias = tuple[int, ...]


#: The explored tasks and limits. Together they take about 20 s.
SIZES: dict[str, tuple[tuple[Row, ...], Limits]] = {
    "one task, late and duplicated reports, manual changes": (
        (Row(),),
        Limits(faults=0, pausing=True),
    ),
    "one task, parked or run twice, one fault": (
        (Row(),),
        Limits(reports=1, faults=1, by_hand=False, parking=True),
    ),
    "one task, two faults": ((Row(),), Limits(leases=1, reports=1, faults=2, by_hand=False)),
    "one stoppable task, one fault": (
        (Row(stop=True),),
        Limits(reports=1, faults=1, by_hand=False, contact=True),
    ),
    "two tasks, one fault": ((Row(), Row()), Limits(leases=1, reports=1, faults=1)),
}


@cache
def explore(name: str) -> Found:
    """Explore the unmodified protocol with one of the `SIZES`."""
    tasks, limits = SIZES[name]
    return Explorer(tasks, limits=limits).run()


class Transcript:
    """The ledger of the explorer. It records its calls and the violated laws."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.seen: dict[tuple[Row, Call], tuple[Row, bool, tuple[Law, ...]]] = {}
        self.broken: set[Law] = set()

    def apply(self, row: Row, call: Call) -> tuple[Row, bool]:
        """Return the row after the statement, and whether its guard matched."""
        known = self.seen.get((row, call))
        if known is None:
            after = transcribed(row, call, self.rules)
            passed = after is not None
            row_after = row if after is None else after
            laws = tuple(broken_by_call(row, call, row_after, passed))
            known = self.seen[row, call] = (row_after, passed, laws)
        self.broken.update(known[2])
        return known[0], known[1]


class Successors(NamedTuple):
    """The successors of one task in one world: by its own steps, and by each event."""

    own: list[tuple[Action, int]]
    shared: list[int]
    broken: dict[Action, tuple[Law, ...]]


class Found(NamedTuple):
    """The result of an exploration."""

    states: int
    transitions: int
    #: The shortest history that breaks each law.
    histories: dict[Law, list[Action]]
    #: Every statement that was run, with its row.
    calls: set[tuple[Row, Call]]
    #: Whether every state within the limits was explored.
    complete: bool


class Explorer:
    """One exploration."""

    def __init__(self, tasks: tuple[Row, ...], *, rules: Rules = AS_IS, limits: Limits) -> None:
        self._limits = limits
        self._ledger = Transcript(rules)
        self._tasks: list[Task] = []
        self._worlds: list[World] = []
        self._task_ids: dict[Task, int] = {}
        self._world_ids: dict[World, int] = {}
        self._events: dict[int, list[tuple[Action, int]]] = {}
        self._next: dict[tuple[int, int], Successors] = {}
        self._endings: dict[tuple[object, ...], bool] = {}
        world = self._world_id(World(faults=limits.faults))
        self._first: State = (*sorted(self._task_id(Task(row)) for row in tasks), world)

    def run(self, most: int = 10_000_000) -> Found:
        """Explore at most this number of states."""
        before: dict[State, State | None] = {self._first: None}
        queue, transitions = deque([self._first]), 0
        shortest: dict[Law, tuple[State, Action]] = {}
        while queue and len(before) < most:
            state = queue.popleft()
            for action, after, laws in self._state_successors(state):
                transitions += 1
                for law in laws:
                    shortest.setdefault(law, (state, action))
                if after not in before:
                    before[after] = state
                    queue.append(after)
        histories = {law: self._history(before, *last) for law, last in shortest.items()}
        calls = set(self._ledger.seen)
        return Found(len(before), transitions, histories, calls, not queue)

    def _state_successors(self, state: State) -> Iterator[tuple[Action, State, tuple[Law, ...]]]:
        *tasks, world = state
        parts = [self._successors(task, world) for task in tasks]
        for place, part in enumerate(parts):
            for action, after in part.own:
                changed = (*tasks[:place], after, *tasks[place + 1 :])
                laws = part.broken.get(action, ())
                yield action, (*sorted(changed), world), laws
        for place, (action, later) in enumerate(self._events_of(world)):
            changed = tuple(part.shared[place] for part in parts)
            laws = tuple(law for part in parts for law in part.broken.get(action, ()))
            yield action, (*sorted(changed), later), laws

    def _events_of(self, number: int) -> list[tuple[Action, int]]:
        found = self._events.get(number)
        if found is None:
            world = self._worlds[number]
            found = [
                (action, self._world_id(apply_to_world(world, action)))
                for action in events(world, self._limits)
            ]
            self._events[number] = found
        return found

    def _successors(self, task_number: int, world_number: int) -> Successors:
        found = self._next.get((task_number, world_number))
        if found is not None:
            return found
        task, world = self._tasks[task_number], self._worlds[world_number]
        own, shared = [], []
        broken: dict[Action, tuple[Law, ...]] = {}
        for action in possible(task, world, self._limits):
            after = self._checked(action, broken, step, task, world, world)
            own.append((action, self._task_id(after)))
        for action, later in self._events_of(world_number):
            after = self._checked(action, broken, apply_to_task, task, world, self._worlds[later])
            shared.append(self._task_id(after))
        found = Successors(own, shared, broken)
        if len(self._first) > 2:
            # With one task the result is never looked up again.
            self._next[task_number, world_number] = found
        return found

    def _checked(
        self,
        action: Action,
        broken: dict[Action, tuple[Law, ...]],
        do: Callable[[Task, World, Action, Ledger], Task],
        task: Task,
        world: World,
        later: World,
    ) -> Task:
        """Return the task after an action; record the laws that it breaks."""
        self._ledger.broken.clear()
        after = do(task, world, action, self._ledger)
        laws = set(self._ledger.broken)
        laws.update(broken_in(after, later))
        if self._stuck(after, later):
            laws.add(Law.UNSTUCK)
        if laws:
            broken[action] = tuple(laws)
        return after

    def _stuck(self, task: Task, world: World) -> bool:
        if Status(task.row.status) not in IN_FLIGHT:
            return False
        # Without survivors only what the coordinators know matters.
        key = (*task[:3], world.alive, world.links, world.lost)
        for survivors, ending_key in ((False, key), (True, (task, world._replace(faults=0)))):
            if ending_key not in self._endings:
                ending = Ending([task], world, [self._ledger])
                self._endings[ending_key] = ending.stuck(survivors=survivors)
            if self._endings[ending_key]:
                return True
        return False

    def _task_id(self, task: Task) -> int:
        number = self._task_ids.setdefault(task, len(self._tasks))
        if number == len(self._tasks):
            self._tasks.append(task)
        return number

    def _world_id(self, world: World) -> int:
        number = self._world_ids.setdefault(world, len(self._worlds))
        if number == len(self._worlds):
            self._worlds.append(world)
        return number

    def _history(
        self, before: dict[State, State | None], state: State, last: Action
    ) -> list[Action]:
        """Return the actions that led to a state, and the last one."""
        history, come = [last], before[state]
        while come is not None:
            history.append(
                next(action for action, to, _ in self._state_successors(come) if to == state)
            )
            state, come = come, before[come]
        return history[::-1]
