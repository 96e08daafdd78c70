"""Implement `manage.py taskmaster pause`, `resume` and `pauses`.

The command line belongs to the operator, so these actions check no user's permissions.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from taskmaster.tasks.cli.arguments import Action
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Pause
from taskmaster.tasks.policies import pausing
from taskmaster.tasks.policy_messages import PauseKind

_PAUSE_EXAMPLES = """\
examples:
  manage.py taskmaster pause --queue mail --reason 'the mail server moves'
  manage.py taskmaster pause --name examples.tasks.add --reason 'wrong results'
  manage.py taskmaster pause --everything --reason 'database maintenance'
Schedules still create tasks, which wait. `taskmaster schedules pause` pauses a schedule.
"""
_RESUME_EXAMPLES = """\
examples:
  manage.py taskmaster resume --queue mail
  manage.py taskmaster resume --everything
"""
_PAUSES_EXAMPLES = """\
example:
  manage.py taskmaster pauses
"""


def add_actions(action: Action) -> None:
    """Declare `pause`, `resume` and `pauses`."""
    pause = action("pause", "pause a queue, a task name or everything", _PAUSE_EXAMPLES)
    _add_target(pause)
    pause.add_argument("--reason", metavar="TEXT", required=True, help="why it is paused")
    _add_target(action("resume", "resume what is paused", _RESUME_EXAMPLES))
    action("pauses", "list what is paused, by whom and why", _PAUSES_EXAMPLES)


def _add_target(parser: ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--queue", metavar="QUEUE", help="the tasks of this queue")
    target.add_argument("--name", metavar="NAME", help="the tasks of this name")
    target.add_argument("--everything", action="store_true", help="all tasks")


def pause(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Pause a queue, a name or everything. Raises the errors of the service."""
    kind, target = _target(options)
    try:
        made = pausing.pause(kind, target, options["reason"], user=None)
    except InvalidField as error:
        raise error.renamed({"target": f"--{kind}", "reason": "--reason"}) from None
    _confirm(made, "paused", options, out)


def resume(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Resume a queue, a name or everything. Raises the errors of the service."""
    _confirm(pausing.resume(*_target(options), user=None), "resumed", options, out)


def pauses(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """List what is paused."""
    found = Pause.objects.all()
    if options["json"]:
        from taskmaster.tasks.api.pauses import PauseSerializer

        out.json(PauseSerializer(found, many=True).data)
        return
    for each in found:
        out.line(each.sentence)
    if not found:
        out.line("Nothing is paused.")


def _target(options: Mapping[str, Any]) -> tuple[PauseKind, str]:
    if options["everything"]:
        return PauseKind.EVERYTHING, ""
    if options["queue"] is not None:
        return PauseKind.QUEUE, options["queue"]
    return PauseKind.NAME, options["name"]


def _confirm(pause: Pause, done: str, options: Mapping[str, Any], out: TerminalPrinter) -> None:
    if options["json"]:
        from taskmaster.tasks.api.pauses import PauseSerializer

        out.json(PauseSerializer(pause).data)
    else:
        out.line(f"{pause.subject[0].upper()}{pause.subject[1:]} is {done}.")
