"""Test the judgement of the runs of schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chaos.recurring import RunRow, judge

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DUE = [FIRST + timedelta(seconds=seconds) for seconds in range(3)]


def a_run(number: int, count: int = 1, **fields: object) -> RunRow:
    given = {
        "schedule": 1, "due_at": DUE[number], "last_due_at": DUE[number + count - 1],
        "count": count, "run_at": DUE[number], "state": "created", "reason": "",
        "task_id": number, "created_at": DUE[number], **fields,
    }  # fmt: skip
    return RunRow(**given)  # type: ignore[arg-type]


FOLDED = a_run(1, 2, state="overlap", task_id=None, created_at=None, reason="busy")


def test_a_complete_record_has_no_violations() -> None:
    verdict = judge({1: DUE}, [a_run(0), FOLDED], [(0, 1, DUE[0])])
    assert (verdict.due, verdict.runs, dict(verdict.states)) == (3, 3, {"created": 1, "overlap": 2})
    assert not any(verdict.violations.values())


def test_a_due_time_without_a_row_and_a_run_without_its_task_are_lost() -> None:
    assert len(judge({1: DUE}, [a_run(0)], [(0, 1, DUE[0])]).lost) == 2
    assert len(judge({1: DUE[:1]}, [a_run(0)], []).lost) == 1


def test_two_rows_of_a_due_time_and_a_task_without_a_run_are_duplicates() -> None:
    twice = [a_run(0), a_run(0, task_id=7), FOLDED]
    tasks = [(0, 1, DUE[0]), (7, 1, DUE[0]), (8, 1, DUE[1])]
    assert len(judge({1: DUE}, twice, tasks).duplicates) == 2


def test_a_late_run_needs_a_reason() -> None:
    late = {"created_at": DUE[0] + timedelta(seconds=2)}
    tasks = [(0, 1, DUE[0])]
    assert len(judge({1: DUE[:1]}, [a_run(0, **late)], tasks).late_unexplained) == 1
    explained = judge({1: DUE[:1]}, [a_run(0, **late, reason="no leader")], tasks)
    assert (explained.late, explained.late_unexplained) == (1, [])
