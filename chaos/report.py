"""What a run says at its end: the table, `latest.json`, and the evidence of what must not be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.faults import Injected
from chaos.fleet import Death
from chaos.ledger import Execution
from chaos.records import Change
from chaos.repeats import Repeat, Repeats
from chaos.rescue import Rescue
from chaos.schedule import CUTS, Fault, Kind
from chaos.verdict import Guilt, Verdict

#: So many of a list are printed; all are in the evidence.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that came of a run."""

    seed: int
    seconds: int
    verdict: Verdict
    repeats: Repeats
    rescues: Mapping[Kind, Rescue]
    injected: Sequence[Injected]
    skipped: Sequence[Fault]
    #: Parts that ended, or did not, against all plans.
    deaths: Sequence[Death]
    #: Tracebacks in the logs, by part.
    tracebacks: Mapping[str, int]
    #: Why no host could be cut off; empty when they were.
    no_cuts: str
    unanswered: int
    slowest_submit_s: float
    drained_s: float | None

    @property
    def holds(self) -> bool:
        """Whether everything that must be zero is."""
        return not any(self.verdict.guilty.values())


def show(outcome: Outcome, console: Console) -> None:
    """Prints the tables."""
    console.print(_counts(outcome))
    console.print(_faults(outcome))
    if outcome.no_cuts:
        console.print(f"Left out: cutting hosts off ({outcome.no_cuts}).", markup=False)
    for name, guilty in outcome.verdict.guilty.items():
        _print_list(console, name.replace("_", " "), [_words(each) for each in guilty])
    unexplained = [_words(each) for each in outcome.repeats.unexplained]
    _print_list(console, "repeated, and no fault explains it", unexplained)
    _print_list(
        console, "ended by themselves", [f"{each.name}: {each.how}" for each in outcome.deaths]
    )
    _print_list(
        console,
        "tracebacks in the logs",
        [f"{name}: {count}" for name, count in outcome.tracebacks.items()],
    )


def keep(outcome: Outcome, path: Path) -> None:
    """Writes the counts as JSON."""
    verdict = outcome.verdict
    counts = {name: len(guilty) for name, guilty in verdict.guilty.items()}
    path.write_text(
        json.dumps(
            {
                "submitted": verdict.submitted,
                "completed": verdict.completed,
                "failed_as_planned": verdict.failed_as_planned,
                **counts,
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
                "ended_by_themselves": len(outcome.deaths),
                "tracebacks": sum(outcome.tracebacks.values()),
                "slowest_submit_s": outcome.slowest_submit_s,
                "drained_s": outcome.drained_s,
            },
            indent=2,
        )
        + "\n"
    )


def evidence(
    outcome: Outcome,
    history: Mapping[int, Sequence[Change]],
    executions: Sequence[Execution],
    path: Path,
) -> None:
    """Writes what happened when, and all that is known of each guilty or repeated task."""
    guilty = [each for guilts in outcome.verdict.guilty.values() for each in guilts]
    ran: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        ran[execution.key].append(execution)

    def known(each: Guilt | Repeat) -> dict[str, object]:
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
                "deaths": [asdict(each) for each in outcome.deaths],
                "guilty": [known(each) for each in guilty],
                "repeated_unexplained": [known(each) for each in outcome.repeats.unexplained],
                "repeated": [known(each) for each in outcome.repeats.explained],
            },
            indent=1,
        )
        + "\n"
    )


def _counts(outcome: Outcome) -> Table:
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
    for name, guilty in verdict.guilty.items():
        table.add_row(name.replace("_", " "), str(len(guilty)), "✘" if guilty else "✔")
    why = ", ".join(f"{kind} {count}" for kind, count in repeats.by_fault.most_common())
    table.add_row("executions repeated", str(repeats.count), why)
    table.add_row("of those unexplained", str(len(repeats.unexplained)), "")
    table.add_row("of those after the task's end", str(repeats.late), "offers taken too late")
    drained = "not drained" if outcome.drained_s is None else f"{outcome.drained_s:.1f} s"
    table.add_row("drained in", drained, "")
    return table


def _faults(outcome: Outcome) -> Table:
    table = Table(title="Faults, and how long until what they met was taken back")
    for heading in ("fault", "times", "rescued", "worst", "worst undisturbed"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for kind in Kind:
        times = sum(each.kind == kind for each in outcome.injected)
        rescue = outcome.rescues.get(kind)
        if outcome.no_cuts and kind in CUTS:
            table.add_row(kind, "left out", "", "", "")
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


def _words(each: Guilt | Repeat) -> str:
    what = each.what if isinstance(each, Guilt) else each.words
    return f"task {each.task_id} ({each.key}): {what}"


def _print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"\n{title}: {len(lines)}", markup=False)
    for line in lines[:_SHOWN]:
        console.print(f"  {line}", markup=False, highlight=False)
    if len(lines) > _SHOWN:
        console.print(f"  … and {len(lines) - _SHOWN} more, see the evidence", markup=False)
