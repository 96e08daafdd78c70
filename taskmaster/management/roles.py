"""Provide the `manage.py taskmaster` action for the groups of the roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from taskmaster import role_groups
from taskmaster.roles import ROLES
from taskmaster.tasks.cli.arguments import Action
from taskmaster.tasks.cli.terminal import TerminalPrinter

_EXAMPLES = """\
examples:
  manage.py taskmaster roles
  manage.py taskmaster roles --reset
"""


def add_actions(action: Action) -> None:
    """Add the action roles."""
    options = action("roles", "compare the groups of the roles with the shipped ones", _EXAMPLES)
    options.add_argument(
        "--reset",
        action="store_true",
        help="give each group exactly the shipped permissions, and create missing groups",
    )


def roles(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Reset the groups if `--reset` is given, and print the differences."""
    if options["reset"]:
        role_groups.reset()
    found = role_groups.compare()
    if options["json"]:
        out.json([asdict(each) for each in found])
        return
    width = max(map(len, ROLES))
    for each in found:
        out.line(f"{each.role.ljust(width)}  {each}")
