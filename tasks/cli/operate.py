"""Implement `manage.py taskmaster operate`: a bulk operation, run by the coordinators."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk.request import BulkRequest, parse
from taskmaster.tasks.bulk_actions import TASK_ACTIONS, TASK_RULES, format_task_count
from taskmaster.tasks.cli import arguments
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import IllegalTransition, InvalidField, TaskMasterError
from taskmaster.tasks.models import Operation
from taskmaster.tasks.models.operation import OperationState

EXAMPLES = """\
examples:
  manage.py taskmaster operate retry --status failed --queue mail
  manage.py taskmaster operate cancel --name examples.tasks.wait --dry-run
  manage.py taskmaster operate set_queue --queue mail --to-queue bulk-mail --yes
  manage.py taskmaster operate set_priority --tag nightly --to-priority -10
  manage.py taskmaster operate delete --status complete --yes
"""
_FILTERS = ("status", "queue", "name", "tag", "q")
#: Option name by field of the request.
_OPTIONS = {"queue": "--to-queue", "priority": "--to-priority", "action": "ACTION"}
#: Interval at which the progress is polled, in seconds.
_POLL_S = 0.2
#: Time in seconds after which a warning appears if no coordinator has started the operation.
_START_WARNING_S = 5.0


class NotDone(TaskMasterError):
    """Report that the operation was not confirmed, or did not complete."""


def add_options(parser: ArgumentParser) -> None:
    """Declare the options of `operate`."""
    add = parser.add_argument
    add("operation", metavar="ACTION", help=", ".join(TASK_ACTIONS))
    arguments.add_filters(parser)
    add("--to-queue", metavar="QUEUE", help="new queue, for set_queue")
    add("--to-priority", metavar="N", help="new priority, for set_priority; from -100 to 100")
    add("--dry-run", action="store_true", help="only count the tasks to change")
    add("--yes", action="store_true", help="do not ask for confirmation")


def run(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Preview the operation, ask for confirmation, and show progress until it ends.

    Ctrl+C cancels the operation. Raises InvalidField; NotDone if the user declines, or if the
    operation ends in another state than complete.
    """
    request = _request(options)
    if options["dry_run"]:
        _print_count(request, options, out)
        return
    operation = service.preview(request, None)
    if not options["yes"]:
        _require_confirmation(operation)
    service.confirm(operation.pk, None)
    try:
        operation = _watch(operation, out)
    except KeyboardInterrupt:
        operation = _cancel(operation.pk)
    if options["json"]:
        from taskmaster.tasks.api.operations import OperationSerializer

        out.json(OperationSerializer(operation).data)
    else:
        _print_outcome(operation, out)
    if operation.state != OperationState.COMPLETE:
        raise NotDone(f"Operation {operation.pk} is {operation.state}. {operation.error}".strip())


def _request(options: Mapping[str, Any]) -> BulkRequest:
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
        raise InvalidField(_OPTIONS.get(name, name), error.rule) from None


def _print_count(request: BulkRequest, options: Mapping[str, Any], out: TerminalPrinter) -> None:
    count = service.count_tasks(request, None)
    if options["json"]:
        out.json({"count": count.number, "at_least": count.at_least})
        return
    tasks = format_task_count(count.number, at_least=count.at_least)
    template = TASK_RULES[request.action].infinitive
    would = template.format(tasks=tasks, queue=request.queue, priority=request.priority)
    out.line(f"Dry run: would {would}.")


def _require_confirmation(operation: Operation) -> None:
    """Ask for confirmation.

    Raises NotDone if the user declines, and InvalidField if standard input is not a terminal.
    """
    question = f"{operation.intent[:1].upper()}{operation.intent[1:]}? [y/N] "
    try:
        answer = input(question) if sys.stdin.isatty() else None
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer is not None and answer.strip().lower() in ("y", "yes"):
        return
    service.cancel(operation.pk, None)
    if answer is None:
        raise InvalidField("--yes", "is required if standard input is not a terminal.")
    raise NotDone("Not confirmed; no task was changed.")


def _watch(operation: Operation, out: TerminalPrinter) -> Operation:
    """Show the progress until the operation ends, and return it."""
    started_at, warned = time.monotonic(), False
    while True:
        operation = Operation.objects.get(pk=operation.pk)
        if not operation.active:
            out.progress("")
            return operation
        of = f"{'at least ' if operation.at_least else ''}{operation.total:,}"
        out.progress(f"{operation.done:,} of {of}, {operation.refusals:,} refused")
        if (
            operation.state == OperationState.QUEUED
            and time.monotonic() - started_at > _START_WARNING_S
            and not warned
        ):
            warned = True
            out.progress("")
            sys.stderr.write(
                "No coordinator has started the operation; check that one is running.\n"
            )
        time.sleep(_POLL_S)


def _cancel(operation_id: int) -> Operation:
    try:
        return service.cancel(operation_id, None)
    except IllegalTransition:
        # The operation has ended since.
        return Operation.objects.get(pk=operation_id)


def _print_outcome(operation: Operation, out: TerminalPrinter) -> None:
    text = operation.outcome
    out.line(f"{text[:1].upper()}{text[1:]}.")
    for reason, number in sorted(operation.refused.items()):
        out.line(f"  {number:,} refused: {reason}")
