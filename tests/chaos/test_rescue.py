"""How long until what a fault met was taken back."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.faults import Injected
from chaos.load import Plan
from chaos.records import Change
from chaos.rescue import Rescue, rescues
from chaos.schedule import Kind
from tests.chaos.sample import SMOOTH, fault, row, submitted, went

RESCUED = went((99, "picked", 1), (100, "started", 1), (104, "pending", 1), (105, "picked", 2))
KILL = fault(Kind.KILL_WORKER, "worker-1", 101, 103)


def found(
    faults: Sequence[Injected], changes: Sequence[Change] = RESCUED, plan: Plan = Plan.COMPLETES
) -> dict[Kind, Rescue]:
    return rescues(submitted(plan), [row()], {1: changes}, faults)


def test_the_time_from_the_kill_to_pending_is_measured() -> None:
    assert found([KILL]) == {Kind.KILL_WORKER: Rescue(3.0, 3.0, 1)}


def test_a_task_that_ended_before_or_by_itself_needed_no_rescue() -> None:
    assert found([KILL], SMOOTH) == {}
    assert found([fault(Kind.FREEZE_WORKER_BRIEFLY, "worker-1", 2.5, 2.8)], SMOOTH) == {}


def test_what_another_worker_ran_does_not_count() -> None:
    assert found([fault(Kind.KILL_WORKER, "worker-2", 101, 103)]) == {}


def test_a_task_that_fails_by_itself_says_nothing_of_rescue() -> None:
    assert found([KILL], plan=Plan.RAISES) == {}


def test_a_fault_of_the_database_near_it_takes_the_mark_undisturbed() -> None:
    restart = fault(Kind.RESTART_POSTGRES, "postgres", 102, 103.5)
    assert found([KILL, restart])[Kind.KILL_WORKER] == Rescue(3.0, None, 1)
    far = fault(Kind.RESTART_POSTGRES, "postgres", 300, 301)
    assert found([KILL, far])[Kind.KILL_WORKER] == Rescue(3.0, 3.0, 1)


def test_what_a_dead_coordinator_held_is_measured_until_it_is_released() -> None:
    held = went((99, "picked", 1), (103.5, "pending", 1))
    kill = fault(Kind.KILL_COORDINATOR, "coordinator-1", 101, 103)
    assert found([kill], held) == {Kind.KILL_COORDINATOR: Rescue(2.5, 2.5, 1)}


def test_after_the_database_the_first_change_counts_from_its_return() -> None:
    restart = fault(Kind.RESTART_POSTGRES, "postgres", 101, 103.5)
    assert found([restart]) == {Kind.RESTART_POSTGRES: Rescue(0.5, 0.5, 1)}
