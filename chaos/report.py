"""Print the tables of a run, and write `latest.json` and the evidence of violations."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.faults import InjectedFault
from chaos.fleet import UnexpectedExit
from chaos.ledger import Execution
from chaos.records import TaskTransition
from chaos.recurring import RecurringVerdict
from chaos.repeats import Repeat, Repeats
from chaos.rescue import Rescue
from chaos.schedule import CUTS, Fault, FaultKind
from chaos.verdict import Verdict, Violation

#: Number of list entries that are printed; the evidence has all of them.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Hold the complete outcome of a run."""

    seed: int
    seconds: int
    verdict: Verdict
    recurred: RecurringVerdict
    repeats: Repeats
    rescues: Mapping[FaultKind, Rescue]
    injected: Sequence[InjectedFault]
    skipped: Sequence[Fault]
    #: Parts that exited, or did not exit, unexpectedly.
    unexpected_exits: Sequence[UnexpectedExit]
    #: Tracebacks in the logs, by part.
    tracebacks: Mapping[str, int]
    #: The reason why no host could be disconnected; empty if hosts were.
    no_cuts_reason: str
    unanswered: int
    slowest_submit_s: float
    drained_s: float | None
    #: Number of processes that ended tasks have left.
    surviving: int

    @property
    def passed(self) -> bool:
        """Return whether every count that must be zero is zero."""
        found = {**self.verdict.violations, **self.recurred.violations}
        return not any(found.values()) and not self.surviving


def show(outcome: RunOutcome, console: Console) -> None:
    """Print the tables."""
    console.print(_counts(outcome))
    console.print(_faults(outcome))
    if outcome.no_cuts_reason:
        console.print(f"Not tested: disconnecting hosts ({outcome.no_cuts_reason}).", markup=False)
    for name, violations in outcome.verdict.violations.items():
        _print_list(console, name.replace("_", " "), [_describe(each) for each in violations])
    for name, wrong in outcome.recurred.violations.items():
        _print_list(console, name, wrong)
    unexplained = [_describe(each) for each in outcome.repeats.unexplained]
    _print_list(console, "repeated without a fault that explains it", unexplained)
    _print_list(
        console,
        "unexpected exits",
        [f"{each.name}: {each.how}" for each in outcome.unexpected_exits],
    )
    _print_list(
        console,
        "tracebacks in the logs",
        [f"{name}: {count}" for name, count in outcome.tracebacks.items()],
    )


def write_counts(outcome: RunOutcome, path: Path) -> None:
    """Write the counts as JSON."""
    verdict = outcome.verdict
    counts = {name: len(violations) for name, violations in verdict.violations.items()}
    path.write_text(
        json.dumps(
            {
                "submitted": verdict.submitted,
                "completed": verdict.completed,
                "failed_as_planned": verdict.failed_as_planned,
                **counts,
                "runs_due": outcome.recurred.due,
                "runs_recorded": outcome.recurred.runs,
                "runs_late": outcome.recurred.late,
                **{
                    name.replace(" ", "_"): len(wrong)
                    for name, wrong in outcome.recurred.violations.items()
                },
                "surviving_processes": outcome.surviving,
                "repeated": outcome.repeats.count,
                "repeated_by_fault": dict(outcome.repeats.by_fault),
                "repeated_unexplained": len(outcome.repeats.unexplained),
                "repeated_late": outcome.repeats.late,
                "worst_rescue_s": {kind: each.worst_s for kind, each in outcome.rescues.items()},
                "worst_undisturbed_rescue_s": {
                    kind: each.undisturbed_s for kind, each in outcome.rescues.items()
                },
                "seed": outcome.seed,
                "seconds": outcome.seconds,
                "faults": len(outcome.injected),
                "unexpected_exits": len(outcome.unexpected_exits),
                "tracebacks": sum(outcome.tracebacks.values()),
                "slowest_submit_s": outcome.slowest_submit_s,
                "drained_s": outcome.drained_s,
            },
            indent=2,
        )
        + "\n"
    )


def write_evidence(
    outcome: RunOutcome,
    history: Mapping[int, Sequence[TaskTransition]],
    executions: Sequence[Execution],
    path: Path,
) -> None:
    """Write the timeline and everything record about each violating or repeated task."""
    violations = [each for group in outcome.verdict.violations.values() for each in group]
    ran: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        ran[execution.key].append(execution)

    def record(each: Violation | Repeat) -> dict[str, object]:
        return {
            **asdict(each),
            "history": [asdict(change) for change in history.get(each.task_id, ())],
            "executions": [asdict(execution) for execution in ran[each.key]],
        }

    path.write_text(
        json.dumps(
            {
                "faults": [
                    {**asdict(each), "touched": sorted(each.touched)} for each in outcome.injected
                ],
                "skipped": [asdict(each) for each in outcome.skipped],
                "unexpected_exits": [asdict(each) for each in outcome.unexpected_exits],
                "violations": [record(each) for each in violations],
                "repeated_unexplained": [record(each) for each in outcome.repeats.unexplained],
                "repeated": [record(each) for each in outcome.repeats.explained],
            },
            indent=1,
        )
        + "\n"
    )


def _counts(outcome: RunOutcome) -> Table:
    verdict, repeats = outcome.verdict, outcome.repeats
    table = Table(
        title=f"Chaos: seed {outcome.seed}, {outcome.seconds} s, {len(outcome.injected)} faults",
        title_justify="left",
    )
    table.add_column("tasks")
    table.add_column("count", justify="right")
    table.add_column("")
    waited = f"{outcome.unanswered} unanswered, slowest answer {outcome.slowest_submit_s:.1f} s"
    table.add_row("submitted", f"{verdict.submitted:,}", waited)
    table.add_row("completed", f"{verdict.completed:,}", "")
    table.add_row("failed as planned", f"{verdict.failed_as_planned:,}", "")
    for name, violations in verdict.violations.items():
        table.add_row(name.replace("_", " "), str(len(violations)), "✘" if violations else "✔")
    recurred = outcome.recurred
    states = ", ".join(f"{state} {count}" for state, count in recurred.states.most_common())
    table.add_row("runs of schedules due", f"{recurred.due:,}", "")
    table.add_row("runs of schedules recorded", f"{recurred.runs:,}", states)
    table.add_row("late runs", str(recurred.late), "")
    for name, wrong in recurred.violations.items():
        table.add_row(name, str(len(wrong)), "✘" if wrong else "✔")
    surviving = outcome.surviving
    table.add_row("surviving processes", str(surviving), "✘" if surviving else "✔")
    why = ", ".join(f"{kind} {count}" for kind, count in repeats.by_fault.most_common())
    table.add_row("executions repeated", str(repeats.count), why)
    table.add_row("unexplained repetitions", str(len(repeats.unexplained)), "")
    table.add_row("repetitions after the task's end", str(repeats.late), "offers accepted too late")
    drained = "not drained" if outcome.drained_s is None else f"{outcome.drained_s:.1f} s"
    table.add_row("drained in", drained, "")
    return table


def _faults(outcome: RunOutcome) -> Table:
    table = Table(title="Faults, and the time until their tasks were rescued")
    for heading in ("fault", "times", "rescued", "worst", "worst undisturbed"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for kind in FaultKind:
        times = sum(each.kind == kind for each in outcome.injected)
        rescue = outcome.rescues.get(kind)
        if outcome.no_cuts_reason and kind in CUTS:
            table.add_row(kind, "not tested", "", "", "")
        elif rescue is None:
            table.add_row(kind, str(times), "0" if times else "", "", "")
        else:
            table.add_row(
                kind,
                str(times),
                str(rescue.count),
                f"{rescue.worst_s:.2f} s",
                "" if rescue.undisturbed_s is None else f"{rescue.undisturbed_s:.2f} s",
            )
    return table


def _describe(each: Violation | Repeat) -> str:
    what = each.what if isinstance(each, Violation) else each.description
    return f"task {each.task_id} ({each.key}): {what}"


def _print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"\n{title}: {len(lines)}", markup=False)
    for line in lines[:_SHOWN]:
        console.print(f"  {line}", markup=False, highlight=False)
    if len(lines) > _SHOWN:
        console.print(f"  … and {len(lines) - _SHOWN} more, see evidence.json", markup=False)
