"""Implement `manage.py taskmaster schedules import`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils import timezone

from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers import (
    celery_beat,
    celery_config,
    crontab,
    django_q2,
    plan,
)
from taskmaster.tasks.schedules.importers.found import FoundSchedule
from taskmaster.tasks.schedules.importers.plan import ImportState, PlannedSchedule
from taskmaster.tasks.store import schedule_changes as store
from taskmaster.tasks.timing.zones import zone_of

_EXAMPLES = """\
examples:
  manage.py taskmaster schedules import celery-beat
  manage.py taskmaster schedules import celery shop.celery:app
  manage.py taskmaster schedules import celery shop.settings.CELERY_BEAT_SCHEDULE --apply
  manage.py taskmaster schedules import django-q2 --apply
  manage.py taskmaster schedules import crontab /etc/cron.d/shop --system --timezone Europe/Berlin
"""
_HEAD = ("NAME", "STATE", "WHEN", "RUNS", "NOTES")
#: The sources, each with the name of its argument, or None.
_SOURCES = {"celery-beat": None, "celery": "APP", "django-q2": None, "crontab": "FILE"}
#: Maximum length of a command in the table, in characters.
_RUNS_LENGTH = 60


def add_import(parser: ArgumentParser) -> None:
    """Declare the options of `schedules import`."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("source", metavar="SOURCE", choices=list(_SOURCES), help=", ".join(_SOURCES))
    add(
        "origin",
        metavar="APP|FILE",
        nargs="?",
        help="of celery: MODULE:APP, or the dotted path of a dict; of crontab: a file",
    )
    add("--apply", action="store_true", help="create the schedules; without it, only show them")
    add("--system", action="store_true", help="of crontab: a column before the command has a user")
    add("--timezone", metavar="ZONE", help="of crontab: its time zone (default: TIME_ZONE)")


def import_schedules(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Show what an import would create, and create it with --apply. Raises InvalidField."""
    now = store.read_clock()
    planned = plan.plan(_find(options), now)
    if options["apply"]:
        planned = plan.create(planned)
    if options["json"]:
        out.json([_as_json(each) for each in planned])
    else:
        _print(planned, out, apply=options["apply"])


def _find(options: Mapping[str, Any]) -> Iterable[FoundSchedule]:
    source, origin = options["source"], options["origin"]
    argument = _SOURCES[source]
    if argument is None and origin is not None:
        raise InvalidField("APP|FILE", f"{source} takes none; it reads the tables of the database.")
    if argument is not None and origin is None:
        raise InvalidField(argument, f"is required; give it after {source}.")
    for option in ("system", "timezone"):
        if options[option] and source != "crontab":
            raise InvalidField(f"--{option}", "belongs to crontab.")
    match source:
        case "celery-beat":
            return celery_beat.find()
        case "celery":
            return celery_config.find(origin)
        case "django-q2":
            return django_q2.find(store.read_clock())
    zone = options["timezone"] or timezone.get_default_timezone_name()
    return crontab.find(origin, zone_of(zone, "--timezone").key, system=options["system"])


def _print(planned: Sequence[PlannedSchedule], out: TerminalPrinter, *, apply: bool) -> None:
    if not planned:
        out.line("The source has no schedules.")
        return
    out.columns(_HEAD, map(_cells, planned), marked=False)
    counts = Counter(each.state for each in planned)
    texts = [f"{counts[state]} {state}" for state in ImportState if counts[state]]
    line = f"{', '.join(texts)}."
    out.line(line if apply else f"{line} Nothing is created without --apply.")


def _cells(planned: PlannedSchedule) -> tuple[str, ...]:
    runs = planned.found.runs
    if len(runs) > _RUNS_LENGTH:
        runs = f"{runs[: _RUNS_LENGTH - 1]}…"
    return (planned.found.name, planned.state, planned.when or "–", runs, planned.note)


def _as_json(planned: PlannedSchedule) -> dict[str, object]:
    return {
        "name": planned.found.name,
        "state": planned.state,
        "when": planned.when,
        "task": planned.found.fields.get("task"),
        "runs": planned.found.runs,
        "note": planned.note,
    }
