"""What is kept of a run."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from chaos.repeats import Repeat, Repeats
from chaos.report import Outcome, evidence, keep, show
from chaos.rescue import Rescue
from chaos.schedule import Kind
from chaos.verdict import Guilt, Verdict
from tests.chaos.sample import KEY, SMOOTH, fault, ran


def outcome(verdict: Verdict) -> Outcome:
    """Of a run with one kill and one repetition."""
    return Outcome(
        seed=7,
        seconds=120,
        verdict=verdict,
        repeats=Repeats([Repeat(1, KEY, "kill_worker", False, "ran twice")]),
        rescues={Kind.KILL_WORKER: Rescue(2.5, None, 3)},
        injected=[fault(Kind.KILL_WORKER, "worker-1", 101, 103)],
        skipped=[],
        deaths=[],
        tracebacks={},
        no_cuts="network namespaces need root",
        unanswered=0,
        slowest_submit_s=0.1,
        drained_s=3.0,
    )


def test_the_counts_are_kept_under_their_names(tmp_path: Path) -> None:
    keep(outcome(Verdict(submitted=10, completed=9, failed_as_planned=1)), tmp_path / "latest.json")
    kept = json.loads((tmp_path / "latest.json").read_text())
    wanted = {
        "submitted": 10, "completed": 9, "failed_as_planned": 1, "lost": 0, "stuck": 0,
        "completed_twice": 0, "stale_completed": 0, "illegal_transitions": 0, "repeated": 1,
        "worst_rescue_s": {"kill_worker": 2.5}, "seed": 7, "seconds": 120,
    }  # fmt: skip
    assert {name: kept[name] for name in wanted} == wanted


def test_one_lost_task_is_enough_not_to_hold() -> None:
    assert outcome(Verdict()).holds
    assert not outcome(Verdict(lost=[Guilt(1, KEY, "gone")])).holds


def test_the_table_names_the_guilty_and_what_was_left_out() -> None:
    console = Console(record=True, width=110)
    show(outcome(Verdict(stuck=[Guilt(1, KEY, "pending, lease 3")])), console)
    text = console.export_text()
    assert "task 1 (k1): pending, lease 3" in text
    assert "Left out: cutting hosts off (network namespaces need root)." in text


def test_the_evidence_has_the_history_of_the_guilty(tmp_path: Path) -> None:
    guilty = outcome(Verdict(stuck=[Guilt(1, KEY, "pending")]))
    evidence(guilty, {1: SMOOTH}, [ran()], tmp_path / "evidence.json")
    kept = json.loads((tmp_path / "evidence.json").read_text())
    [task] = kept["guilty"]
    assert [change["new_status"] for change in task["history"]] == [
        "picked", "started", "complete",
    ]  # fmt: skip
    assert task["executions"][0]["worker"] == "worker-1"
    assert kept["repeated"][0]["words"] == "ran twice"
