"""Implement `manage.py taskmaster schedules`.

The command line belongs to the operator, so these actions check no user's permissions.
"""

from __future__ import annotations

import difflib
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from taskmaster.tasks.cli import schedule_text
from taskmaster.tasks.cli.arguments import limit, seconds
from taskmaster.tasks.cli.schedule_import import add_import, import_schedules
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import InvalidField, NotFound, TaskMasterError
from taskmaster.tasks.models import Schedule, SchedulerState
from taskmaster.tasks.options import short_text
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.stored import preview_stored
from taskmaster.tasks.schedules.sync import Difference, sync
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.timing.parse import parse_timing
from taskmaster.tasks.timing.preview import preview
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME
from taskmaster.tasks.timing.timing import Timing

EXAMPLES = """\
examples:
  manage.py taskmaster schedules list
  manage.py taskmaster schedules show nightly-invoices
  manage.py taskmaster schedules preview --cron '30 2 * * *' --timezone Europe/Berlin
  manage.py taskmaster schedules pause nightly-invoices --reason 'the bank is closed'
  manage.py taskmaster schedules sync --dry-run
  manage.py taskmaster schedules import crontab /etc/crontab --system
`taskmaster schedules ACTION --help` shows the options of an action.
"""
#: Option by field of a schedule, where the two differ.
_OPTIONS = {"interval_s": "--interval", "dates": "--date"}
_TRIGGERS = ("cron", "interval", "date")


class NotSynchronized(TaskMasterError):
    """Report that some declared schedules were refused."""


def add_actions(parser: ArgumentParser) -> None:
    """Declare the actions of `schedules`."""
    actions = parser.add_subparsers(dest="schedule_action", metavar="ACTION", required=True)

    def action(name: str, summary: str) -> ArgumentParser:
        added: ArgumentParser = actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=RawDescriptionHelpFormatter,
        )
        # The parent has the option too. A default here would hide what was given there.
        added.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")
        return added

    action("list", "list the schedules with their next and last run")
    for name, summary in (
        ("show", "show a schedule, its rules, and its newest runs"),
        ("pause", "pause a schedule; its due times are recorded and not made up"),
        ("resume", "resume a paused schedule; its next run is the next one that is due"),
        ("run", "run a schedule now, also if it is paused"),
    ):
        added = action(name, summary)
        added.add_argument("name", metavar="NAME", help="name of the schedule")
        if name == "pause":
            added.add_argument("--reason", metavar="TEXT", required=True, help="why it is paused")
        if name == "run":
            added.add_argument(
                "--due-at", metavar="TIME", help="run for this due time of the past, with an offset"
            )
    _add_preview(action("preview", "show the next due times of a schedule, or of an expression"))
    syncing = action("sync", "store the schedules that code declares, and end the others of code")
    syncing.add_argument("--dry-run", action="store_true", help="only show the difference")
    add_import(action("import", "create the schedules of another scheduler"))


def _add_preview(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="name of a schedule, in place of the options")
    add("--cron", metavar="EXPRESSION", help="five fields, or @hourly to @yearly")
    add("--interval", metavar="SECONDS", help="interval of elapsed time")
    add("--anchor", metavar="TIME", help="a time at which the interval is due")
    add("--date", metavar="TIME", action="append", help="a date; repeatable")
    add("--timezone", metavar="ZONE", help="such as Europe/Berlin (default: TIME_ZONE)")
    add("--skipped-time", metavar="RULE", help="cron, skip or shift: a time that the clocks skip")
    add("--repeated-time", metavar="RULE", help="cron, first, second or both")
    add("--count", metavar="N", default="20", help="number of due times (default: %(default)s)")


def run(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Run the chosen action. Raises the errors of the service, and InvalidField."""
    _ACTIONS[options["schedule_action"]](options, out)


def _list(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    schedules = schedule_text.with_last_run(Schedule.objects.all())
    if options["json"]:
        from taskmaster.tasks.api.schedule_serializers import ScheduleRowSerializer

        out.json(ScheduleRowSerializer(schedules, many=True).data)
        return
    state = SchedulerState.objects.first()
    if state is not None and state.paused_at is not None:
        out.line(schedule_text.all_paused(state))
    if rows := list(schedules):
        schedule_text.table(rows, out)
    else:
        out.line("No schedules.")


def _show(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    _print(_named(options["name"]), options, out)


def _pause(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    name = options["name"]
    try:
        schedule = service.pause(_named(name), options["reason"], user=None)
    except InvalidField as error:
        raise error.renamed({"reason": "--reason"}) from None
    _confirm(schedule, f"Schedule {name} is paused.", options, out)


def _resume(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    schedule = service.resume(_named(options["name"]), user=None)
    due = schedule_text.next_run(schedule)
    _confirm(schedule, f"Schedule {schedule.name} is resumed; next run: {due}.", options, out)


def _run(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    schedule = _named(options["name"])
    try:
        made = service.run_now(schedule, user=None, due_at=options["due_at"])
    except InvalidField as error:
        raise error.renamed({"due_at": "--due-at"}) from None
    _confirm(schedule, f"Schedule {schedule.name} runs as task {made.task_id}.", options, out)


def _confirm(
    schedule: Schedule, text: str, options: Mapping[str, Any], out: TerminalPrinter
) -> None:
    if options["json"]:
        _print(schedule, options, out)
    else:
        out.line(text)


def _print(schedule: Schedule, options: Mapping[str, Any], out: TerminalPrinter) -> None:
    found = schedule_text.with_last_run(Schedule.objects.filter(pk=schedule.pk)).get()
    runs = schedule_text.newest_runs(found)
    if options["json"]:
        from taskmaster.tasks.api.schedule_serializers import (
            ScheduleRunSerializer,
            ScheduleSerializer,
        )

        shown = ScheduleRunSerializer(runs, many=True).data
        out.json({**ScheduleSerializer(found).data, "runs": shown})
    else:
        schedule_text.details(found, runs, out)


def _preview(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    count = limit(options["count"], "--count")
    given = [f"--{each}" for each in _TRIGGERS if options[each] is not None]
    if options["name"] is None:
        now = store.read_clock()
        shown = preview(_parse_timing(options, now), now, count)
    elif given:
        raise InvalidField(given[0], "cannot be combined with NAME; give one of them.")
    else:
        shown = preview_stored(_named(options["name"]), count)
    if options["json"]:
        from taskmaster.tasks.api.schedule_serializers import PreviewSerializer

        out.json(PreviewSerializer(shown).data)
    else:
        schedule_text.print_preview(shown, out)


def _parse_timing(options: Mapping[str, Any], now: datetime) -> Timing:
    """Return the timing of an unsaved schedule. Raises InvalidField with the option's name."""
    fields = {
        "cron": options["cron"],
        "interval_s": seconds(options["interval"]),
        "anchor": options["anchor"],
        "dates": options["date"],
        "timezone": options["timezone"],
        "skipped_time": options["skipped_time"],
        "repeated_time": options["repeated_time"],
    }
    if not any(options[each] is not None for each in _TRIGGERS):
        raise InvalidField("NAME", "is required, or one of --cron, --interval and --date.")
    try:
        return parse_timing(fields, now).timing
    except InvalidField as error:
        field = error.field.partition("[")[0]
        option = _OPTIONS.get(field, f"--{field.replace('_', '-')}")
        raise InvalidField(option, error.rule) from None


def _sync(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    report = sync(end=True, dry_run=options["dry_run"])
    if options["json"]:
        out.json(schedule_text.report_json(report))
    else:
        schedule_text.print_report(report, out, dry_run=options["dry_run"])
    if refused := report.of(Difference.REFUSED):
        verb = "was" if len(refused) == 1 else "were"
        raise NotSynchronized(
            f"{len(refused)} of {len(report.schedules)} schedules {verb} refused; see above."
        )


def _named(name: str) -> Schedule:
    """Return the schedule of this name. Raises NotFound with the closest names, or InvalidField."""
    name = short_text(name, "NAME", MAX_SCHEDULE_NAME)
    schedule = Schedule.objects.filter(name=name).first()
    if schedule is None:
        names = Schedule.objects.values_list("name", flat=True)
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.4)
        closest = f" The closest names are {', '.join(near)}." if near else ""
        raise NotFound(f"There is no schedule {name}.{closest}")
    return schedule


_ACTIONS: dict[str, Callable[[Mapping[str, Any], TerminalPrinter], None]] = {
    "list": _list,
    "show": _show,
    "preview": _preview,
    "pause": _pause,
    "resume": _resume,
    "run": _run,
    "sync": _sync,
    "import": import_schedules,
}
