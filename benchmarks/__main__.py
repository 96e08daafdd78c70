"""`make bench`: measures the usual, or what is named: `make bench ARGS="drain memory"`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial

from rich.console import Console

from benchmarks import fleet, report
from benchmarks.report import Figure

#: What is measured when nothing is named, and kept.
USUAL = ("drain", "submit", "latency", "failure")
#: Memory takes a minute and a half: 200,000 tasks while pages are read. History takes two to three,
#: most of it for storing ten million rows; scaling takes two.
NAMES = (*USUAL, "streams", "browser", "memory", "history", "scaling")


def main() -> int:
    """Measures, prints, keeps; the exit code says whether every figure holds."""
    parser = ArgumentParser(prog="make bench", description="Measure TaskMaster.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; {', '.join(USUAL)} if none",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=10_000_000,
        help="finished tasks of the history; fewer are quicker stored",
    )
    options = parser.parse_args()
    names = options.names or USUAL
    for name in names:
        if name not in NAMES:
            parser.error(f"no benchmark is called {name!r}; there are {', '.join(NAMES)}")
    console, figures = Console(), list[Figure]()
    with fleet.database():
        from benchmarks import (
            browser,
            drain,
            failure,
            history,
            latency,
            memory,
            scaling,
            streams,
            submit,
        )

        measures: dict[str, Callable[[], list[Figure]]] = {
            "drain": drain.measure,
            "submit": submit.measure,
            "latency": latency.measure,
            "failure": failure.measure,
            "streams": streams.measure,
            "browser": browser.measure,
            "memory": memory.measure,
            "scaling": scaling.measure,
            "history": partial(history.measure, options.rows),
        }
        for name in names:
            with console.status(f"Measuring: {name} …"):
                figures += measures[name]()
    report.show(figures, console)
    if set(names) == set(USUAL):
        report.keep(figures)
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
