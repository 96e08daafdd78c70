"""Test the time until the tasks that a fault affected were rescued."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.faults import InjectedFault
from chaos.load import PlannedOutcome
from chaos.records import TaskTransition
from chaos.rescue import Rescue, rescues
from chaos.schedule import FaultKind
from tests.chaos.sample import SMOOTH, fault, history_of, row, submitted

RESCUED = history_of(
    (99, "picked", 1), (100, "started", 1), (104, "pending", 1), (105, "picked", 2)
)
KILL = fault(FaultKind.KILL_WORKER, "worker-1", 101, 103)


def rescue_of(
    faults: Sequence[InjectedFault],
    changes: Sequence[TaskTransition] = RESCUED,
    plan: PlannedOutcome = PlannedOutcome.COMPLETES,
) -> dict[FaultKind, Rescue]:
    return rescues(submitted(plan), [row()], {1: changes}, faults)


def test_the_time_from_the_kill_to_pending_is_measured() -> None:
    assert rescue_of([KILL]) == {FaultKind.KILL_WORKER: Rescue(3.0, 3.0, 1)}


def test_a_task_that_ended_before_the_fault_or_undisturbed_needed_no_rescue() -> None:
    assert rescue_of([KILL], SMOOTH) == {}
    assert rescue_of([fault(FaultKind.FREEZE_WORKER_BRIEFLY, "worker-1", 2.5, 2.8)], SMOOTH) == {}


def test_tasks_of_another_worker_do_not_count() -> None:
    assert rescue_of([fault(FaultKind.KILL_WORKER, "worker-2", 101, 103)]) == {}


def test_a_task_that_fails_as_planned_does_not_count() -> None:
    assert rescue_of([KILL], plan=PlannedOutcome.RAISES) == {}


def test_a_rescue_near_a_database_fault_is_not_undisturbed() -> None:
    restart = fault(FaultKind.RESTART_POSTGRES, "postgres", 102, 103.5)
    assert rescue_of([KILL, restart])[FaultKind.KILL_WORKER] == Rescue(3.0, None, 1)
    far = fault(FaultKind.RESTART_POSTGRES, "postgres", 300, 301)
    assert rescue_of([KILL, far])[FaultKind.KILL_WORKER] == Rescue(3.0, 3.0, 1)


def test_measures_until_the_tasks_of_a_dead_coordinator_are_released() -> None:
    held = history_of((99, "picked", 1), (103.5, "pending", 1))
    kill = fault(FaultKind.KILL_COORDINATOR, "coordinator-1", 101, 103)
    assert rescue_of([kill], held) == {FaultKind.KILL_COORDINATOR: Rescue(2.5, 2.5, 1)}


def test_measures_from_the_return_of_the_database_to_the_first_change() -> None:
    restart = fault(FaultKind.RESTART_POSTGRES, "postgres", 101, 103.5)
    assert rescue_of([restart]) == {FaultKind.RESTART_POSTGRES: Rescue(0.5, 0.5, 1)}
