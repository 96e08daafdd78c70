"""Test the verdict on made-up runs; most of them contain a violation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaos.ledger import Execution
from chaos.load import PlannedOutcome
from chaos.records import TaskRow, TaskTransition
from chaos.verdict import Verdict, judge
from tests.chaos.sample import SMOOTH, history_of, ran, row, submitted


def verdict_of(
    rows: Sequence[TaskRow],
    changes: Sequence[TaskTransition] = SMOOTH,
    executions: Sequence[Execution] = (ran(),),
    plan: PlannedOutcome = PlannedOutcome.COMPLETES,
    *,
    acknowledged: bool = True,
) -> Verdict:
    submissions = submitted(plan, acknowledged=acknowledged)
    return judge(submissions, rows, {1: changes}, executions)


def violations(verdict: Verdict) -> set[str]:
    return {name for name, guilts in verdict.violations.items() if guilts}


def test_an_undisturbed_task_is_not_reported() -> None:
    verdict = verdict_of([row()])
    assert (verdict.submitted, verdict.completed) == (1, 1)
    assert violations(verdict) == set()


def test_a_rescued_task_that_ran_twice_and_completed_once_is_not_reported() -> None:
    changes = history_of(
        (1, "picked", 1),
        (2, "started", 1),
        (9, "pending", 1),
        (10, "picked", 2),
        (12, "complete", 2),
    )
    executions = [ran(2, 13, token="old"), ran(11, 12)]
    assert violations(verdict_of([row(lease=2)], changes, executions)) == set()


def test_a_task_that_fails_as_planned_is_counted_as_planned() -> None:
    changes = history_of((1, "picked", 1), (2, "failed", 1))
    for plan in (PlannedOutcome.RAISES, PlannedOutcome.TIMES_OUT):
        verdict = verdict_of([row("failed")], changes, [ran(1.5, None)], plan)
        assert (verdict.completed, verdict.failed_as_planned) == (0, 1)
        assert violations(verdict) == set()


def test_an_acknowledged_task_that_is_not_stored_is_lost() -> None:
    assert violations(verdict_of([], [], [])) == {"lost"}


def test_a_submission_without_an_answer_counts_only_if_it_is_stored() -> None:
    assert verdict_of([], [], [], acknowledged=False).submitted == 0
    assert verdict_of([row()], acknowledged=False).submitted == 1


def test_a_task_that_is_complete_and_never_ran_is_lost() -> None:
    assert violations(verdict_of([row()], executions=[])) == {"lost"}
    assert violations(verdict_of([row()], executions=[ran(ended=None)])) == {"lost"}
    assert violations(verdict_of([row()], executions=[ran(token="another")])) == {"lost"}


def test_a_task_that_failed_against_the_plan_is_lost() -> None:
    changes = history_of((1, "picked", 1), (2, "failed", 1))
    assert violations(verdict_of([row("failed")], changes)) == {"lost"}


def test_a_task_that_completed_against_the_plan_is_lost() -> None:
    assert violations(verdict_of([row()], plan=PlannedOutcome.RAISES)) == {"lost"}


@pytest.mark.parametrize("status", ["pending", "picked", "started"])
def test_a_task_that_has_not_ended_is_stuck(status: str) -> None:
    changes = {
        "pending": [],
        "picked": history_of((1, "picked", 1)),
        "started": history_of((1, "picked", 1), (2, "started", 1)),
    }[status]
    verdict = verdict_of([row(status, len(changes) and 1)], changes)
    assert violations(verdict) == {"stuck"}


def test_a_second_completion_is_found() -> None:
    changes = history_of((1, "picked", 1), (3, "complete", 1), (4, "complete", 2))
    assert "illegal_transitions" in violations(verdict_of([row(lease=2)], changes))
    again = history_of(
        (1, "picked", 1),
        (2, "complete", 1),
        (3, "pending", 1),
        (4, "picked", 2),
        (9, "complete", 2),
    )
    found = violations(verdict_of([row(lease=2)], again, [ran(5, 8)]))
    assert found == {"completed_twice", "illegal_transitions"}


def test_a_task_stored_twice_is_found() -> None:
    assert "completed_twice" in violations(verdict_of([row(), row()]))


def test_a_result_of_an_older_lease_is_found() -> None:
    """The row shows lease 2 only because the row already had it: the guard was missing."""
    changes = history_of(
        (1, "picked", 1),
        (2, "started", 1),
        (9, "pending", 1),
        (10, "picked", 2),
        (11, "complete", 2),
    )
    for task in (row(lease=2), row(lease=2, name="shell", result='{"exit_code": 0}')):
        assert violations(verdict_of([task], changes, [ran(2, 10.5)])) == {"stale_completed"}


def test_a_shell_command_that_also_ran_under_the_newest_lease_is_not_reported() -> None:
    changes = history_of(
        (1, "picked", 1),
        (9, "pending", 1),
        (10, "picked", 2),
        (13, "complete", 2),
    )
    task = row(lease=2, name="shell", result='{"exit_code": 0}')
    executions = [ran(2, 10.5, token="old"), ran(11, 12)]
    assert violations(verdict_of([task], changes, executions)) == set()


def test_a_decreasing_lease_is_found() -> None:
    changes = history_of((1, "picked", 2), (2, "pending", 2), (3, "picked", 1), (4, "complete", 1))
    found = violations(verdict_of([row()], changes, [ran(3.5, 3.8)]))
    assert found == {"illegal_transitions", "stale_completed"}


def test_a_claim_without_a_new_lease_is_found() -> None:
    changes = history_of((1, "picked", 1), (2, "pending", 1), (3, "picked", 1), (4, "complete", 1))
    assert violations(verdict_of([row()], changes, [ran(3.5, 3.8)])) == {"illegal_transitions"}


@pytest.mark.parametrize(
    "stations",
    [
        [(1, "complete", 0)],
        [(1, "started", 0), (2, "complete", 0)],
        [(1, "picked", 1), (2, "complete", 1), (3, "failed", 1)],
        [(1, "picked", 1), (2, "failed", 1), (3, "complete", 1)],
        [(1, "cancelled", 0), (2, "picked", 1)],
    ],
)
def test_an_illegal_transition_is_found(
    stations: list[tuple[float, str, int]],
) -> None:
    _, status, lease = stations[-1]
    verdict = verdict_of([row(status, lease)], history_of(*stations))
    assert "illegal_transitions" in violations(verdict)


def test_a_change_that_is_missing_in_the_history_is_found() -> None:
    assert "illegal_transitions" in violations(verdict_of([row()], SMOOTH[:1] + SMOOTH[2:]))
    assert "illegal_transitions" in violations(verdict_of([row(lease=3)]))
