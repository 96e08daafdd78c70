"""`manage.py taskmaster operate`: one action on many tasks, run by the coordinators."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from tasks.api.operations import OperationSerializer
from tasks.bulk import operate
from tasks.bulk.actions import RULES, Action, tasks_in_words
from tasks.bulk.wanted import Wanted, parse
from tasks.cli import arguments
from tasks.cli.terminal import Printer
from tasks.errors import IllegalTransition, InvalidField, TaskMasterError
from tasks.models import Operation
from tasks.models.operation import State

EXAMPLES = """\
examples:
  manage.py taskmaster operate retry --status failed --queue mail
  manage.py taskmaster operate cancel --name examples.tasks.wait --dry-run
  manage.py taskmaster operate set_queue --queue mail --to-queue bulk-mail --yes
  manage.py taskmaster operate set_priority --tag nightly --to-priority -10
  manage.py taskmaster operate delete --status complete --yes
"""
_FILTERS = ("status", "queue", "name", "tag", "q")
#: How a field of the request is called here.
_WORDS = {"queue": "--to-queue", "priority": "--to-priority", "action": "ACTION"}
#: How often it looks how far the operation is.
_LOOK_S = 0.2
#: Nobody takes it up: that is said after this time.
_LONELY_S = 5.0


class NotDone(TaskMasterError):
    """The operation ended otherwise than complete, or was not begun."""


def add_options(parser: ArgumentParser) -> None:
    """Declares the options of `operate`."""
    add = parser.add_argument
    add("operation", metavar="ACTION", help=", ".join(Action))
    arguments.add_filters(parser)
    add("--q", metavar="WORDS", help="tasks in which these words are found")
    add("--to-queue", metavar="QUEUE", help="with set_queue: the new one")
    add("--to-priority", metavar="N", help="with set_priority: the new one, -100 to 100")
    add("--dry-run", action="store_true", help="only count the tasks that it would change")
    add("--yes", action="store_true", help="do not ask")


def run(options: Mapping[str, Any], out: Printer) -> None:
    """Counts, asks, and shows the progress until it has ended; Ctrl+C cancels it.

    Raises InvalidField; NotDone when the answer is no, or when it ends otherwise than complete.
    """
    wanted = _wanted(options)
    if options["dry_run"]:
        _say_count(wanted, options, out)
        return
    operation = operate.preview(wanted, None)
    if not options["yes"]:
        _ask(operation)
    operate.confirm(operation.pk, None)
    try:
        operation = _watched(operation, out)
    except KeyboardInterrupt:
        operation = _stopped(operation.pk)
    if options["json"]:
        out.json(OperationSerializer(operation).data)
    else:
        _say(operation, out)
    if operation.state != State.COMPLETE:
        raise NotDone(
            f"The operation {operation.pk} is {operation.state}. {operation.error}".strip()
        )


def _wanted(options: Mapping[str, Any]) -> Wanted:
    chosen = {name: options[name] for name in _FILTERS if options[name] is not None}
    try:
        return parse(
            {
                "action": options["operation"],
                "filter": chosen,
                "queue": options["to_queue"],
                "priority": arguments.number(options["to_priority"]),
            }
        )
    except InvalidField as error:
        name = error.field
        if name.startswith("filter."):
            raise InvalidField(f"--{name.removeprefix('filter.')}", error.rule) from None
        raise InvalidField(_WORDS.get(name, name), error.rule) from None


def _say_count(wanted: Wanted, options: Mapping[str, Any], out: Printer) -> None:
    count = operate.counted(wanted, None)
    if options["json"]:
        out.json({"count": count.number, "at_least": count.at_least})
        return
    tasks = tasks_in_words(count.number, at_least=count.at_least)
    begin = RULES[wanted.action].begin
    would = begin.format(tasks=tasks, queue=wanted.queue, priority=wanted.priority)
    out.line(f"It would {would}; nothing is changed.")


def _ask(operation: Operation) -> None:
    """Raises NotDone unless somebody says yes."""
    question = f"{operation.intent[:1].upper()}{operation.intent[1:]}? [y/N] "
    try:
        answer = input(question) if sys.stdin.isatty() else None
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer is not None and answer.strip().lower() in ("y", "yes"):
        return
    operate.cancel(operation.pk, None)
    if answer is None:
        raise InvalidField("--yes", "is needed where nobody can be asked.")
    raise NotDone("Nothing is changed.")


def _watched(operation: Operation, out: Printer) -> Operation:
    """The operation when it has ended."""
    began, said = time.monotonic(), False
    while True:
        operation = Operation.objects.get(pk=operation.pk)
        if not operation.active:
            out.progress("")
            return operation
        of = f"{'at least ' if operation.at_least else ''}{operation.total:,}"
        out.progress(f"{operation.done:,} of {of}, {operation.refusals:,} refused")
        if operation.state == State.QUEUED and time.monotonic() - began > _LONELY_S and not said:
            said = True
            out.progress("")
            sys.stderr.write("No coordinator has begun it; is one running?\n")
        time.sleep(_LOOK_S)


def _stopped(operation_id: int) -> Operation:
    try:
        return operate.cancel(operation_id, None)
    except IllegalTransition:
        # It has ended in this very moment.
        return Operation.objects.get(pk=operation_id)


def _say(operation: Operation, out: Printer) -> None:
    words = operation.outcome
    out.line(f"{words[:1].upper()}{words[1:]}.")
    for reason, number in sorted(operation.refused.items()):
        out.line(f"  {number:,} refused: {reason}")
