"""Repeated executions and the faults to blame."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.faults import Injected
from chaos.ledger import Execution
from chaos.load import Plan
from chaos.repeats import Repeats, explain
from chaos.schedule import Kind
from tests.chaos.sample import fault, ran, row, submitted, went

CHANGES = went((99, "picked", 1), (100, "started", 1), (104, "pending", 1), (110, "picked", 2))
TWICE = (ran(100, None, token="a"), ran(112, 113, token="b", worker="worker-2"))


def explained(
    faults: Sequence[Injected],
    executions: Sequence[Execution] = TWICE,
    plan: Plan = Plan.COMPLETES,
) -> Repeats:
    return explain(submitted(plan), [row()], {1: CHANGES}, executions, faults)


def test_one_execution_is_no_repetition() -> None:
    assert explained([], [ran()]) == Repeats()


def test_a_killed_worker_explains_what_it_ran() -> None:
    repeats = explained([fault(Kind.KILL_WORKER, "worker-1", 101, 103)])
    assert (repeats.count, repeats.unexplained) == (1, [])
    assert repeats.by_fault == {"kill_worker": 1}


def test_a_fault_of_another_worker_explains_nothing() -> None:
    repeats = explained([fault(Kind.KILL_WORKER, "worker-3", 101, 103)])
    assert (repeats.count, len(repeats.unexplained)) == (1, 1)
    assert repeats.unexplained[0].task_id == 1
    assert "attempt 1 on worker-1 never ended" in repeats.unexplained[0].words


def test_a_fault_that_came_too_late_or_long_before_explains_nothing() -> None:
    for began, ended in ((113, 114), (60, 61)):
        repeats = explained([fault(Kind.KILL_WORKER, "worker-1", began, ended)])
        assert len(repeats.unexplained) == 1


def test_a_cut_explains_what_ran_behind_it() -> None:
    cut = fault(Kind.CUT_WORKERS, "east", 90, 108, ["worker-1", "worker-6"])
    assert explained([cut]).by_fault == {"cut_workers": 1}


def test_a_fault_of_the_coordinator_that_had_the_task_explains_it() -> None:
    mine = fault(Kind.KILL_COORDINATOR, "coordinator-1", 101, 103)
    other = fault(Kind.KILL_COORDINATOR, "coordinator-2", 101, 103)
    assert explained([other, mine]).by_fault == {"kill_coordinator": 1}
    assert len(explained([other]).unexplained) == 1


def test_the_worker_s_own_fault_is_blamed_before_that_of_the_database() -> None:
    restart = fault(Kind.RESTART_POSTGRES, "postgres", 101, 102)
    kill = fault(Kind.KILL_CHILD, "worker-1", 103, 103)
    assert explained([restart, kill]).by_fault == {"kill_child": 1}
    assert explained([restart]).by_fault == {"restart_postgres": 1}


def test_the_nearest_fault_is_blamed() -> None:
    frozen = fault(Kind.FREEZE_WORKER_BRIEFLY, "worker-1", 90, 99.5)
    kill = fault(Kind.KILL_COORDINATOR, "coordinator-1", 101, 103)
    assert explained([frozen, kill]).by_fault == {"kill_coordinator": 1}
    assert explained([frozen]).by_fault == {"freeze_worker_briefly": 1}


def test_an_execution_after_the_end_is_blamed_on_where_it_ran() -> None:
    """Offered to a worker behind a cut, run elsewhere, and run there when the cable was in."""
    changes = went((99, "picked", 1), (101, "picked", 2), (103, "complete", 2))
    executions = [ran(102, 103), ran(120, 121, token="late", worker="worker-5")]
    cut = fault(Kind.CUT_WORKERS, "east", 98, 119.9, ["worker-5", "worker-6"])
    kill = fault(Kind.KILL_WORKER, "worker-1", 104, 105)
    repeats = explain(submitted(), [row()], {1: changes}, executions, [kill, cut])
    assert (repeats.by_fault, repeats.late) == ({"cut_workers": 1}, 1)


def test_what_ended_unheard_is_blamed_on_what_was_then() -> None:
    cut = fault(Kind.CUT_COORDINATOR, "west", 102, 125, ["coordinator-1"])
    later = fault(Kind.KILL_LAUNCHER, "worker-1", 110, 111)
    executions = [ran(100, 103, token="a"), TWICE[1]]
    assert explained([later, cut], executions).by_fault == {"cut_coordinator": 1}


def test_a_killed_child_explains_what_it_ran_in_that_moment_only() -> None:
    kill = fault(Kind.KILL_CHILD, "worker-1", 101, 101)
    assert explained([kill]).by_fault == {"kill_child": 1}
    for began in (99, 112.5):
        assert explained([fault(Kind.KILL_CHILD, "worker-1", began, began)]).unexplained
    ended = (ran(100, 103, token="a"), TWICE[1])
    assert explained([kill], ended).unexplained


def test_planned_attempts_are_no_repetitions() -> None:
    assert explained([], TWICE, Plan.RAISES).count == 0
    thrice = (*TWICE, ran(120, 121, token="c"))
    assert explained([], thrice, Plan.RAISES).count == 1
