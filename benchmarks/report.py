"""Define figures, print their table, and write them to a file."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

LATEST = Path(__file__).resolve().parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """Hold one measured value. `ratio` is value / reference if there is a reference."""

    name: str
    value: float
    unit: str
    conditions: str
    reference: float | None = None
    #: The required minimum or maximum.
    target: str = ""
    passed: bool = True

    @property
    def ratio(self) -> float | None:
        """Return value / reference."""
        return None if self.reference is None else self.value / self.reference


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    table = Table(title="TaskMaster, measured", title_justify="left", caption=machine())
    for heading in ("figure", "value", "reference", "ratio", "target", "conditions"):
        right = heading in ("value", "reference", "ratio")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        reference = "" if figure.reference is None else f"{figure.reference:,.1f}"
        mark = "✔" if figure.passed else "✘"
        target = f"{mark} {figure.target}" if figure.target else ""
        value = f"{figure.value:,.1f} {figure.unit}"
        table.add_row(figure.name, value, reference, ratio, target, figure.conditions)
    console.print(table)


def write(figures: Sequence[Figure], path: Path = LATEST) -> None:
    """Write the figures as JSON."""
    names = ("name", "value", "unit", "reference")
    rows = [
        {
            **{name: value for name, value in asdict(figure).items() if name in names},
            "ratio": figure.ratio,
            "conditions": f"{figure.conditions}; {machine()}",
        }
        for figure in figures
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")


def machine() -> str:
    """Return a description of the machine."""
    import os

    import django

    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Django {django.get_version()}, embedded PostgreSQL 18"
    )
