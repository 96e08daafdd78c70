"""Run the default benchmarks, or the named ones: `make bench ARGS="drain memory"`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial

from rich.console import Console

from benchmarks import fleet, report
from benchmarks.report import Figure

#: The default benchmarks; their results are stored.
DEFAULT = ("drain", "submit", "latency", "failure")
#: Memory takes 90 seconds: 200,000 tasks while pages are read. History takes two to three minutes,
#: most of it to insert ten million rows. Scaling takes two minutes, schedules four, and pruning of
#: ten million rows twenty.
NAMES = (
    *DEFAULT,
    "shell",
    "streams",
    "browser",
    "memory",
    "history",
    "scaling",
    "schedules",
    "pruning",
)


def main() -> int:
    """Measure, print and store. Return 0 if every figure reaches its target."""
    parser = ArgumentParser(prog="make bench", description="Measure TaskMaster.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"benchmarks to run: {', '.join(NAMES)} (default: {', '.join(DEFAULT)})",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=10_000_000,
        help="number of finished tasks in the benchmarks history and pruning",
    )
    options = parser.parse_args()
    names = options.names or DEFAULT
    for name in names:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; known: {', '.join(NAMES)}")
    console, figures = Console(), list[Figure]()
    with fleet.database():
        from benchmarks import (
            browser,
            drain,
            failure,
            history,
            latency,
            memory,
            pruning,
            scaling,
            schedules,
            shell,
            streams,
            submit,
        )

        measures: dict[str, Callable[[], list[Figure]]] = {
            "drain": drain.measure,
            "submit": submit.measure,
            "latency": latency.measure,
            "failure": failure.measure,
            "shell": shell.measure,
            "streams": streams.measure,
            "browser": browser.measure,
            "memory": memory.measure,
            "scaling": scaling.measure,
            "schedules": schedules.measure,
            "history": partial(history.measure, options.rows),
            "pruning": partial(pruning.measure, options.rows),
        }
        for name in names:
            with console.status(f"Measuring: {name} …"):
                figures += measures[name]()
    report.show(figures, console)
    if set(names) == set(DEFAULT):
        report.write(figures)
    return 0 if all(figure.passed for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
