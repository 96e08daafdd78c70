"""Test the report of a run."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from chaos.recurring import RecurringVerdict
from chaos.repeats import Repeat, Repeats
from chaos.report import RunOutcome, show, write_counts, write_evidence
from chaos.rescue import Rescue
from chaos.schedule import FaultKind
from chaos.verdict import Verdict, Violation
from tests.chaos.sample import KEY, SMOOTH, fault, ran


def outcome(
    verdict: Verdict, surviving: int = 0, recurred: RecurringVerdict | None = None
) -> RunOutcome:
    """Return the outcome of a run with one kill and one repetition."""
    return RunOutcome(
        seed=7,
        seconds=120,
        verdict=verdict,
        recurred=recurred or RecurringVerdict(),
        repeats=Repeats([Repeat(1, KEY, "kill_worker", False, "ran twice")]),
        rescues={FaultKind.KILL_WORKER: Rescue(2.5, None, 3)},
        injected=[fault(FaultKind.KILL_WORKER, "worker-1", 101, 103)],
        skipped=[],
        unexpected_exits=[],
        tracebacks={},
        no_cuts_reason="network namespaces need root",
        unanswered=0,
        slowest_submit_s=0.1,
        drained_s=3.0,
        surviving=surviving,
    )


def test_the_counts_are_written_under_their_names(tmp_path: Path) -> None:
    write_counts(
        outcome(Verdict(submitted=10, completed=9, failed_as_planned=1)), tmp_path / "latest.json"
    )
    kept = json.loads((tmp_path / "latest.json").read_text())
    wanted = {
        "submitted": 10, "completed": 9, "failed_as_planned": 1, "lost": 0, "stuck": 0,
        "completed_twice": 0, "stale_completed": 0, "illegal_transitions": 0, "repeated": 1,
        "surviving_processes": 0,
        "worst_rescue_s": {"kill_worker": 2.5}, "seed": 7, "seconds": 120,
    }  # fmt: skip
    assert {name: kept[name] for name in wanted} == wanted


def test_one_lost_task_fails_the_run() -> None:
    assert outcome(Verdict()).passed
    assert not outcome(Verdict(lost=[Violation(1, KEY, "gone")])).passed


def test_one_lost_run_of_a_schedule_fails_the_run() -> None:
    assert not outcome(Verdict(), recurred=RecurringVerdict(lost=["gone"])).passed


def test_one_surviving_process_fails_the_run() -> None:
    assert not outcome(Verdict(), surviving=1).passed


def test_the_tables_name_violations_and_what_was_not_tested() -> None:
    console = Console(record=True, width=110)
    show(outcome(Verdict(stuck=[Violation(1, KEY, "pending, lease 3")])), console)
    text = console.export_text()
    assert "task 1 (k1): pending, lease 3" in text
    assert "Not tested: disconnecting hosts (network namespaces need root)." in text


def test_the_evidence_has_the_history_of_each_violation(tmp_path: Path) -> None:
    violations = outcome(Verdict(stuck=[Violation(1, KEY, "pending")]))
    write_evidence(violations, {1: SMOOTH}, [ran()], tmp_path / "evidence.json")
    kept = json.loads((tmp_path / "evidence.json").read_text())
    [task] = kept["violations"]
    assert [change["new_status"] for change in task["history"]] == [
        "picked", "started", "complete",
    ]  # fmt: skip
    assert task["executions"][0]["worker"] == "worker-1"
    assert kept["repeated"][0]["description"] == "ran twice"
