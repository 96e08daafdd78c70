"""Model events of processes and connections, and their effect on a task.

`events` yields the possible events of a world, `apply_to_world` returns the world after an event,
and `apply_to_task` the task after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.property.protocol.guards import Call
from tests.property.protocol.state import (
    COORDINATORS,
    WORKERS,
    Action,
    Flight,
    Limits,
    Report,
    Task,
    World,
)
from tests.property.protocol.steps import Ledger

# ---- possible events ------------------------------------------------------------------------


def events(world: World, limits: Limits) -> Iterator[Action]:
    """Yield every event that can happen next in this world."""
    for w in WORKERS:
        if world.workers[w].alive:
            yield from _of_worker(world, w, limits)
    for c in COORDINATORS:
        if world.alive[c]:
            yield from _of_coordinator(world, c)


def _of_worker(world: World, w: int, limits: Limits) -> Iterator[Action]:
    worker = world.workers[w]
    if world.faults:
        yield Action("crash", worker=w)
    if worker.at is None:
        for c in COORDINATORS:
            if world.alive[c]:
                yield Action("hello", c, w)
        if worker.contact and limits.contact:
            yield Action("lose_contact", worker=w)
        return
    linked = world.alive[worker.at] and (worker.at, w) in world.links
    if linked:
        yield Action("heartbeat", worker.at, w)
    if not linked or world.faults:
        # The worker notices that its stream is broken.
        yield Action("cut", worker.at, w)


def _of_coordinator(world: World, c: int) -> Iterator[Action]:
    if world.faults:
        yield Action("crash", c)
    for each, w in world.links:
        if each == c and (world.workers[w].at != c or not world.workers[w].alive or world.faults):
            yield Action("disconnect", c, w)
    for each, w, rescued in world.lost:
        if each != c:
            continue
        if not rescued:
            yield Action("rescue", c, w)
        elif _has_stopped(world, c, w):
            yield Action("rescue", c, w, how="stoppable")
    for other in COORDINATORS:
        # A live coordinator can also be declared dead: frozen, or disconnected from the database.
        if other != c and (world.faults or not world.alive[other]):
            yield Action("take_over", other, how="held")
            yield Action("take_over", other, how="started")
            if all(_has_stopped(world, other, w) for w in WORKERS):
                yield Action("take_over", other, how="stoppable")


def _has_stopped(world: World, c: int, w: int) -> bool:
    """Return whether the worker has stopped: without contact it stops before the coordinator
    rescues.
    """
    worker = world.workers[w]
    return not worker.alive or not worker.contact or worker.at not in (None, c)


# ---- effects on the world -------------------------------------------------------------------


def apply_to_world(world: World, action: Action) -> World:
    """Return the world after an event."""
    kind, c, w = action.kind, action.coordinator, action.worker
    changed = _WORLD_EFFECTS[kind](world, c, w, action.how)  # type: ignore[arg-type]
    costs = (
        kind == "crash"
        or (kind == "cut" and world.alive[c] and (c, w) in world.links)  # type: ignore[index]
        or (kind == "disconnect" and world.workers[w].alive and world.workers[w].at == c)  # type: ignore[index]
        or (kind == "take_over" and world.alive[c])  # type: ignore[index]
    )
    return changed._replace(faults=changed.faults - 1) if costs and changed.faults else changed


def _crash(world: World, c: int | None, w: int | None, _: str) -> World:
    if w is not None:
        return world.with_worker(w, alive=False, at=None)
    return world._replace(
        alive=tuple(alive and k != c for k, alive in enumerate(world.alive)),
        links=frozenset(link for link in world.links if link[0] != c),
        names=frozenset(name for name in world.names if name[0] != c),
        lost=frozenset(loss for loss in world.lost if loss[0] != c),
    )


def _hello(world: World, c: int, w: int, _: str) -> World:
    return world.with_worker(w, at=c, contact=True)._replace(
        links=world.links | {(c, w)},
        names=world.names | {(c, w)},
        lost=frozenset(loss for loss in world.lost if loss[:2] != (c, w)),
    )


def _cut(world: World, _: int, w: int, __: str) -> World:
    return world.with_worker(w, at=None)


def _lose_contact(world: World, _: int, w: int, __: str) -> World:
    return world.with_worker(w, contact=False)


def _disconnect(world: World, c: int, w: int, _: str) -> World:
    return world._replace(links=world.links - {(c, w)}, lost=world.lost | {(c, w, False)})


def _rescue(world: World, c: int, w: int, how: str) -> World:
    later = set() if how else {(c, w, True)}
    return world._replace(lost=world.lost - {(c, w, False), (c, w, True)} | later)


def _same(world: World, _: int, __: int, ___: str) -> World:
    return world


_WORLD_EFFECTS: dict[str, Callable[[World, int, int, str], World]] = {
    "crash": _crash,
    "hello": _hello,
    "cut": _cut,
    "lose_contact": _lose_contact,
    "disconnect": _disconnect,
    "rescue": _rescue,
    "take_over": _same,
    "heartbeat": _same,
}

# ---- effects on a task ----------------------------------------------------------------------


def apply_to_task(task: Task, world: World, action: Action, ledger: Ledger) -> Task:
    """Return the task after an event in the world before it."""
    return _TOUCHES[action.kind](task, world, action, ledger)


def _crashed(task: Task, _: World, action: Action, __: Ledger) -> Task:
    c, w = action.coordinator, action.worker
    if w is not None:
        return task._replace(
            runs=frozenset(run for run in task.runs if run.worker != w),
            offers=frozenset(offer for offer in task.offers if offer.worker != w),
        )
    return task._replace(
        held=frozenset(held for held in task.held if held.coordinator != c),
        flights=frozenset(flight for flight in task.flights if flight.coordinator != c),
    )


def _greeted(task: Task, world: World, action: Action, ledger: Ledger) -> Task:
    """Take over the live leases of the executions that a connecting worker names.

    A link to it that the coordinator still considers open is closed.
    """
    c, w = action.coordinator, action.worker
    assert c is not None
    assert w is not None
    adopted = set()
    for lease in sorted(_known(task, w)):
        call = Call("adopt", lease, worker=w, coordinator=c)
        row, passed = ledger.apply(task.row, call)
        task = task._replace(row=row)
        if passed:
            adopted.add(Flight(c, w, lease, row.attempt, accepted=True))
    if (c, w) in world.links:
        task = _disconnected(task, world, action, ledger)
    return task._replace(flights=task.flights | adopted)


def _known(task: Task, w: int) -> set[int]:
    ends = {
        report.lease
        for report in task.reports
        if report.worker == w and not report.acked and report.kind in ("complete", "fail")
    }
    return ends | {run.lease for run in task.runs if run.worker == w}


def _cut_off(task: Task, _: World, action: Action, __: Ledger) -> Task:
    """Repeat, to other workers, the offers that the worker has not started."""
    return task._replace(offers=frozenset(x for x in task.offers if x.worker != action.worker))


def _without_contact(task: Task, _: World, action: Action, __: Ledger) -> Task:
    if not task.row.stop:
        return task
    stopped = {run for run in task.runs if run.worker == action.worker}
    lost = {Report("fail", *run[:3], to=None) for run in stopped}
    return task._replace(runs=task.runs - stopped, reports=task.reports | lost)


def _disconnected(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    """Release unaccepted offers immediately. The rescue handles the other tasks."""
    offered = {x for x in task.flights if x[:2] == (action.coordinator, action.worker)}
    for flight in offered:
        if not flight.accepted:
            call = Call("release", flight.lease, coordinator=action.coordinator)
            task = task._replace(row=ledger.apply(task.row, call)[0])
    return task._replace(flights=task.flights - offered)


def _rescued(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    call = Call(
        "rescue",
        worker=action.worker,
        coordinator=action.coordinator,
        stoppable=action.how == "stoppable",
    )
    return task._replace(row=ledger.apply(task.row, call)[0])


def _taken_over(task: Task, world: World, action: Action, ledger: Ledger) -> Task:
    if action.how != "held":
        return _rescued(task, world, action, ledger)
    call = Call("release_held", coordinator=action.coordinator)
    return task._replace(row=ledger.apply(task.row, call)[0])


def _heartbeat(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    """Answer with the stale leases. Accepted tasks that the worker does not list are lost."""
    c, w = action.coordinator, action.worker
    known = _known(task, w)  # type: ignore[arg-type]
    for flight in [x for x in task.flights if x[:2] == (c, w) and x.accepted]:
        if flight.lease not in known:
            call = Call("fail", flight.lease, flight.attempt, w)
            row = ledger.apply(task.row, call)[0]
            task = task._replace(row=row, flights=task.flights - {flight})
    for lease in sorted(known):
        if not ledger.apply(task.row, Call("live", lease))[1]:
            task = task._replace(
                runs=frozenset(run for run in task.runs if run[:2] != (w, lease)),
                flights=frozenset(x for x in task.flights if x[:3] != (c, w, lease)),
            )
    return task


_TOUCHES: dict[str, Callable[[Task, World, Action, Ledger], Task]] = {
    "crash": _crashed,
    "hello": _greeted,
    "cut": _cut_off,
    "lose_contact": _without_contact,
    "disconnect": _disconnected,
    "rescue": _rescued,
    "take_over": _taken_over,
    "heartbeat": _heartbeat,
}
