"""Model the steps of coordinators, workers and users for one task.

`possible` yields the steps that a task can take next, `step` takes one. The memory of the real
processes (`Held`, `Dispatcher`, `WorkerLiveness`, `AttemptScheduler`, `ReportQueue`) is in the
`Task`. Database calls go through a `Ledger`: the transcription for the explorer, the real SQL for
the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from tests.property.protocol.guards import Call
from tests.property.protocol.state import (
    Action,
    Flight,
    Held,
    Limits,
    Offer,
    Report,
    Row,
    Rules,
    Run,
    Task,
    World,
)

_T = TypeVar("_T")


class Ledger(Protocol):
    """The database, for one task."""

    rules: Rules

    def apply(self, row: Row, call: Call) -> tuple[Row, bool]:
        """Run a statement; return the row afterwards, and whether the guard matched."""


# ---- possible steps of this task alone ------------------------------------------------------


def possible(task: Task, world: World, limits: Limits) -> Iterator[Action]:
    """Yield every step that this task can take next."""
    yield from _by_coordinators(task, world, limits)
    yield from _by_workers(task, world, limits)
    yield from _by_the_wire(task, world)
    if limits.by_hand:
        yield from _by_hand(task, limits)


def _by_coordinators(task: Task, world: World, limits: Limits) -> Iterator[Action]:
    if task.row.status == "pending" and task.row.lease < limits.leases:
        for c, alive in enumerate(world.alive):
            if alive:
                yield Action("claim", c)
    if task.row.status == "waiting":
        yield Action("unpark")
    for held in task.held:
        yield Action("let_go", held.coordinator, lease=held.lease)
        if limits.parking:
            yield Action("park", held.coordinator, lease=held.lease)
        for c, w in world.links:
            if c == held.coordinator:
                yield Action("offer", c, w, held.lease)
    for flight in task.flights:
        if not flight.accepted:
            yield Action("withdraw", flight.coordinator, flight.worker, flight.lease)


def _by_workers(task: Task, world: World, limits: Limits) -> Iterator[Action]:
    room = limits.reports - len(task.reports)
    if room <= 0:
        return
    for offer in task.offers:
        if world.workers[offer.worker].alive:
            yield Action("accept", offer.coordinator, offer.worker, offer.lease)
            yield Action("decline", offer.coordinator, offer.worker, offer.lease)
    for run in task.runs:
        if run.begun:
            yield Action("finish", worker=run.worker, lease=run.lease, how="complete")
            yield Action("finish", worker=run.worker, lease=run.lease, how="fail")
        # A stopping worker returns its tasks.
        yield Action("finish", worker=run.worker, lease=run.lease, how="decline")


def _by_the_wire(task: Task, world: World) -> Iterator[Action]:
    for report in task.reports:
        lives = world.workers[report.worker].alive
        for c, w in world.names:
            if w == report.worker and c in (report.to, world.workers[w].at):
                yield Action("deliver", c, report=report, how="receipt")
                yield Action("deliver", c, report=report, how="copy")
                if lives and not report.acked:
                    yield Action("deliver", c, report=report, how="silence")
        if report.acked or not lives:
            yield Action("lose", report=report)


def _by_hand(task: Task, limits: Limits) -> Iterator[Action]:
    status = task.row.status
    if status in ("waiting", "pending", "picked", "started"):
        yield Action("cancel")
    if status in ("waiting", "pending", "picked") and task.row.lease < limits.leases:
        yield Action("reschedule")
    if status in ("failed", "cancelled") and task.row.lease < limits.leases:
        yield Action("retry")


# ---- effects of a step on a task ------------------------------------------------------------


def step(task: Task, world: World, action: Action, ledger: Ledger) -> Task:
    """Return the task after an action in the world before it."""
    return _STEPS[action.kind](task, world, action, ledger)


def _claim(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    row, passed = ledger.apply(task.row, Call("claim", coordinator=action.coordinator))
    task = task._replace(row=row)
    if not passed or action.coordinator is None:
        return task
    held = Held(action.coordinator, row.lease, row.attempt, row.unused)
    return task._replace(held=task.held | {held})


def _offer(task: Task, world: World, action: Action, _: Ledger) -> Task:
    held = _one(task.held, lambda x: x[:2] == (action.coordinator, action.lease))
    assert held is not None
    assert action.worker is not None
    offer = Offer(held[0], action.worker, held.lease, held.attempt + 1, held.unused)
    listens = world.workers[action.worker].alive and world.workers[action.worker].at == offer[0]
    return task._replace(
        held=task.held - {held},
        flights=task.flights | {Flight(*offer[:4], accepted=False)},
        # If only the coordinator considers the stream open, the offer is lost.
        offers=task.offers | {offer} if listens else task.offers,
    )


def _release_held(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    """Release a held task that finds no slot in time."""
    held = _one(task.held, lambda x: x[:2] == (action.coordinator, action.lease))
    return _released(task._replace(held=task.held - {held}), action, ledger, unused=True)


def _park(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    """Park a held task: no connected worker knows its name."""
    held = _one(task.held, lambda x: x[:2] == (action.coordinator, action.lease))
    call = Call("park", lease=action.lease, coordinator=action.coordinator)
    return task._replace(held=task.held - {held}, row=ledger.apply(task.row, call)[0])


def _withdraw(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    """Withdraw an offer that was not accepted in time."""
    flight = _flight(task, action.coordinator, action.worker, action.lease)
    return _released(task._replace(flights=task.flights - {flight}), action, ledger)


def _released(task: Task, action: Action, ledger: Ledger, *, unused: bool = False) -> Task:
    call = Call("release", lease=action.lease, coordinator=action.coordinator, unused=unused)
    return task._replace(row=ledger.apply(task.row, call)[0])


def _accept(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    offer = _one(task.offers, lambda x: x[:3] == action[1:4])
    assert offer is not None
    # A task that may have begun before unreported may kill its worker: persist its start first.
    suspect = offer.lease - offer.unused > offer.attempt
    begun = not (suspect or (ledger.rules.accept_first and task.row.stop))
    return task._replace(
        offers=task.offers - {offer},
        runs=task.runs | {Run(offer.worker, offer.lease, offer.attempt, begun)},
        reports=task.reports | {Report("start", *offer[1:4], to=offer.coordinator)},
    )


def _decline(task: Task, _: World, action: Action, __: Ledger) -> Task:
    offer = _one(task.offers, lambda x: x[:3] == action[1:4])
    assert offer is not None
    return task._replace(
        offers=task.offers - {offer},
        reports=task.reports | {Report("decline", *offer[1:4], to=offer.coordinator)},
    )


def _finish(task: Task, world: World, action: Action, __: Ledger) -> Task:
    run = _one(task.runs, lambda x: x[:2] == action[2:4])
    assert run is not None
    return task._replace(
        runs=task.runs - {run},
        reports=task.reports | {Report(action.how, *run[:3], to=world.workers[run.worker].at)},
    )


def _deliver(task: Task, world: World, action: Action, ledger: Ledger) -> Task:
    """Write a report and acknowledge it. The acknowledgement can be lost."""
    report, c = action.report, action.coordinator
    assert report is not None
    if report.kind == "decline":
        call = Call("release", report.lease, coordinator=c, begun=True, unused=True)
        task = task._replace(row=ledger.apply(task.row, call)[0])
        stale = False
    else:
        call = Call(report.kind, report.lease, report.attempt, report.worker)
        row, passed = ledger.apply(task.row, call)
        task, stale = task._replace(row=row), not passed
    flight = _flight(task, c, report.worker, report.lease)
    if flight is not None:
        accepted = (
            {flight._replace(accepted=True)} if report.kind == "start" and not stale else set()
        )
        task = task._replace(flights=task.flights - {flight} | accepted)
    if action.how == "silence":
        return task
    copies = {report._replace(acked=True)} if action.how == "copy" else set()
    task = task._replace(reports=task.reports - {report} | copies)
    run = _one(task.runs, lambda x: x[:2] == (report.worker, report.lease))
    if run is None or report.acked or report.kind != "start":
        return task
    # The worker reads the acknowledgement: it continues, or stops tasks that it no longer owns.
    return task._replace(runs=task.runs - {run} | (set() if stale else {run._replace(begun=True)}))


def _lose(task: Task, _: World, action: Action, __: Ledger) -> Task:
    return task._replace(reports=task.reports - {action.report})


def _asked(task: Task, _: World, action: Action, ledger: Ledger) -> Task:
    return task._replace(row=ledger.apply(task.row, Call(action.kind))[0])


def _flight(task: Task, c: int | None, w: int | None, lease: int | None) -> Flight | None:
    return _one(task.flights, lambda x: x[:3] == (c, w, lease))


def _one(found: frozenset[_T], wanted: Callable[[_T], bool]) -> _T | None:
    return next(filter(wanted, found), None)


_STEPS: dict[str, Callable[[Task, World, Action, Ledger], Task]] = {
    "claim": _claim,
    "offer": _offer,
    "let_go": _release_held,
    "withdraw": _withdraw,
    "accept": _accept,
    "decline": _decline,
    "finish": _finish,
    "deliver": _deliver,
    "lose": _lose,
    "cancel": _asked,
    "reschedule": _asked,
    "retry": _asked,
    "park": _park,
    "unpark": _asked,
}
