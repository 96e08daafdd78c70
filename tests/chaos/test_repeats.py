"""Test the attribution of repeated executions to faults."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.faults import InjectedFault
from chaos.ledger import Execution
from chaos.load import PlannedOutcome
from chaos.repeats import Repeats, explain
from chaos.schedule import FaultKind
from tests.chaos.sample import fault, history_of, ran, row, submitted

CHANGES = history_of(
    (99, "picked", 1), (100, "started", 1), (104, "pending", 1), (110, "picked", 2)
)
TWICE = (ran(100, None, token="a"), ran(112, 113, token="b", worker="worker-2"))


def repeat_of(
    faults: Sequence[InjectedFault],
    executions: Sequence[Execution] = TWICE,
    plan: PlannedOutcome = PlannedOutcome.COMPLETES,
) -> Repeats:
    return explain(submitted(plan), [row()], {1: CHANGES}, executions, faults)


def test_one_execution_is_not_a_repetition() -> None:
    assert repeat_of([], [ran()]) == Repeats()


def test_a_killed_worker_explains_the_tasks_that_it_ran() -> None:
    repeats = repeat_of([fault(FaultKind.KILL_WORKER, "worker-1", 101, 103)])
    assert (repeats.count, repeats.unexplained) == (1, [])
    assert repeats.by_fault == {"kill_worker": 1}


def test_a_fault_of_another_worker_explains_nothing() -> None:
    repeats = repeat_of([fault(FaultKind.KILL_WORKER, "worker-3", 101, 103)])
    assert (repeats.count, len(repeats.unexplained)) == (1, 1)
    assert repeats.unexplained[0].task_id == 1
    assert "attempt 1 on worker-1 never ended" in repeats.unexplained[0].description


def test_a_fault_after_the_repetition_or_long_before_explains_nothing() -> None:
    for began, ended in ((113, 114), (60, 61)):
        repeats = repeat_of([fault(FaultKind.KILL_WORKER, "worker-1", began, ended)])
        assert len(repeats.unexplained) == 1


def test_a_cut_explains_the_tasks_that_ran_behind_it() -> None:
    cut = fault(FaultKind.CUT_WORKERS, "east", 90, 108, ["worker-1", "worker-6"])
    assert repeat_of([cut]).by_fault == {"cut_workers": 1}


def test_a_fault_of_the_coordinator_that_held_the_task_explains_it() -> None:
    mine = fault(FaultKind.KILL_COORDINATOR, "coordinator-1", 101, 103)
    other = fault(FaultKind.KILL_COORDINATOR, "coordinator-2", 101, 103)
    assert repeat_of([other, mine]).by_fault == {"kill_coordinator": 1}
    assert len(repeat_of([other]).unexplained) == 1


def test_the_worker_s_own_fault_is_blamed_before_that_of_the_database() -> None:
    restart = fault(FaultKind.RESTART_POSTGRES, "postgres", 101, 102)
    kill = fault(FaultKind.KILL_CHILD, "worker-1", 103, 103)
    assert repeat_of([restart, kill]).by_fault == {"kill_child": 1}
    assert repeat_of([restart]).by_fault == {"restart_postgres": 1}


def test_the_nearest_fault_is_blamed() -> None:
    frozen = fault(FaultKind.FREEZE_WORKER_BRIEFLY, "worker-1", 90, 99.5)
    kill = fault(FaultKind.KILL_COORDINATOR, "coordinator-1", 101, 103)
    assert repeat_of([frozen, kill]).by_fault == {"kill_coordinator": 1}
    assert repeat_of([frozen]).by_fault == {"freeze_worker_briefly": 1}


def test_a_late_execution_is_attributed_to_its_own_worker() -> None:
    """The task was offered to a worker behind a cut, ran elsewhere, and ran there after healing."""
    changes = history_of((99, "picked", 1), (101, "picked", 2), (103, "complete", 2))
    executions = [ran(102, 103), ran(120, 121, token="late", worker="worker-5")]
    cut = fault(FaultKind.CUT_WORKERS, "east", 98, 119.9, ["worker-5", "worker-6"])
    kill = fault(FaultKind.KILL_WORKER, "worker-1", 104, 105)
    repeats = explain(submitted(), [row()], {1: changes}, executions, [kill, cut])
    assert (repeats.by_fault, repeats.late) == ({"cut_workers": 1}, 1)


def test_an_execution_whose_report_was_lost_is_attributed_to_a_fault_at_its_end() -> None:
    cut = fault(FaultKind.CUT_COORDINATOR, "west", 102, 125, ["coordinator-1"])
    later = fault(FaultKind.KILL_FORK_SERVER, "worker-1", 110, 111)
    executions = [ran(100, 103, token="a"), TWICE[1]]
    assert repeat_of([later, cut], executions).by_fault == {"cut_coordinator": 1}


def test_a_killed_child_explains_only_what_it_ran_at_that_moment() -> None:
    kill = fault(FaultKind.KILL_CHILD, "worker-1", 101, 101)
    assert repeat_of([kill]).by_fault == {"kill_child": 1}
    for began in (99, 112.5):
        assert repeat_of([fault(FaultKind.KILL_CHILD, "worker-1", began, began)]).unexplained
    ended = (ran(100, 103, token="a"), TWICE[1])
    assert repeat_of([kill], ended).unexplained


def test_planned_attempts_are_not_repetitions() -> None:
    assert repeat_of([], TWICE, PlannedOutcome.RAISES).count == 0
    thrice = (*TWICE, ran(120, 121, token="c"))
    assert repeat_of([], thrice, PlannedOutcome.RAISES).count == 1
