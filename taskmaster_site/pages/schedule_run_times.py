"""Lay out the run times of a schedule's last thirty runs as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskmaster.tasks.queries.schedule_runs import OUTCOMES, ShownRun
from taskmaster.tasks.queries.timeline import precise

#: Size of the drawing in SVG units; of a place for a bar, and of the bar.
HEIGHT, _PLACE, _BAR = 100.0, 7.2, 5.6
WIDTH = OUTCOMES * _PLACE
#: The least height of a bar, so that it stays visible.
_LEAST = 2.0
#: Ends of the axis in seconds: the first one that is long enough is used.
_ENDS = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400,
    28_800, 43_200, 86_400,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunTimeBar:
    """Hold a bar in SVG units."""

    kind: str
    x: str
    y: str
    height: str
    title: str


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Hold the bars, the labels of the axis from the top, and the newest run time."""

    bars: list[RunTimeBar]
    labels: list[str]
    last: str
    label: str
    view_box: str = f"0 0 {WIDTH:g} {HEIGHT:g}"
    bar_width: float = _BAR


def run_times(outcomes: Sequence[ShownRun]) -> RunTimes | None:
    """Return the bars of the outcomes, oldest first; None without a run time."""
    known = [(place, run, run.run_s) for place, run in enumerate(outcomes)]
    ended = [(place, run, run_s) for place, run, run_s in known if run_s is not None]
    if not ended:
        return None
    longest = max(run_s for _, _, run_s in ended)
    end_s = next((end for end in _ENDS if end >= longest), longest)
    first = OUTCOMES - len(outcomes)
    bars = []
    for place, run, run_s in ended:
        height = max(_LEAST, HEIGHT * run_s / end_s)
        title = f"{run.row.due_at:%Y-%m-%d %H:%M} UTC: {run.word} after {precise(run_s)}"
        x, y = f"{(first + place) * _PLACE:.1f}", f"{HEIGHT - height:.1f}"
        bars.append(RunTimeBar(run.kind, x, y, f"{height:.1f}", title))
    last = precise(ended[-1][2])
    label = f"Run times of the last runs, up to {precise(longest)}; the last one took {last}"
    return RunTimes(bars, [precise(end_s), precise(end_s / 2), "0"], last, label)
