"""Implement `manage.py taskmaster export`, which writes tasks as JSON lines."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.db.models import Min, QuerySet

from taskmaster.tasks.cli import arguments
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.extras import require_extra
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.queries.filters import ListedTaskFilter
from taskmaster.tasks.queries.search import newest_id

EXAMPLES = """\
examples:
  manage.py taskmaster export old.jsonl --status failed --finished-before 2030-01-31T00:00:00Z
  manage.py taskmaster export reports.jsonl --queue reports --with-output
  manage.py taskmaster export - --status complete | gzip > complete.jsonl.gz
"""
#: File name that stands for standard output.
_STDOUT = "-"
_TIMES = (
    "created_after",
    "created_before",
    "scheduled_after",
    "scheduled_before",
    "finished_after",
    "finished_before",
)
_FILTERS = ("status", "queue", "name", "tag", "schedule", "q", *_TIMES)
#: Range of ids of one query, and number of tasks that are in memory. Within a range every plan is
#: cheap, also for a filter that matches few tasks.
_RANGE, _ROWS = 10_000, 100


def add_options(parser: ArgumentParser) -> None:
    """Declare the options of `export`."""
    add = parser.add_argument
    add("file", metavar="FILE", help="new file for the tasks, or - for standard output")
    arguments.add_filters(parser)
    add("--schedule", metavar="NAME", help="only tasks that this schedule has submitted")
    for name in _TIMES:
        event, _, side = name.partition("_")
        limit = "from this time on" if side == "after" else "before this time"
        help_text = f"only tasks {event} {limit}, such as 2030-01-31T12:00:00Z"
        add(f"--{event}-{side}", metavar="TIME", help=help_text)
    add("--with-output", action="store_true", help="include the output of the attempts")


def run(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Write one line for each matching task, the oldest first, with the fields of the REST API.

    Tasks that are submitted during the export are not included. Raises InvalidField for a bad
    filter, or if the file exists or cannot be written.
    """
    require_extra("api", "export")
    newest = newest_id()
    tasks = _filtered(options, newest)
    name = options["file"]
    if name == _STDOUT:
        for line in _lines(tasks, newest, with_output=options["with_output"]):
            out.line(line)
        return
    written = 0
    with _new_file(Path(name)) as file:
        for line in _lines(tasks, newest, with_output=options["with_output"]):
            file.write(f"{line}\n")
            written += 1
    if options["json"]:
        out.json({"file": name, "tasks": written})
    else:
        out.line(f"Exported {written:,} task{'' if written == 1 else 's'} to {name}.")


def _filtered(options: Mapping[str, Any], newest: int) -> QuerySet[Task]:
    given = {name: options[name] for name in _FILTERS if options[name] is not None}
    filterset = ListedTaskFilter(
        given, queryset=Task.objects.select_related("created_by"), newest=newest
    )
    for field, rules in filterset.errors.items():
        raise InvalidField(f"--{field.replace('_', '-')}", " ".join(map(str, rules)))
    selected: QuerySet[Task] = filterset.qs
    return selected


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Yield a temporary file that becomes the file when the block has ended without an error."""
    if path.exists():
        raise InvalidField("FILE", f"{path} exists; delete it, or choose another name.")
    part = path.with_name(f"{path.name}.part")
    try:
        # Arguments and results may be confidential.
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            yield file
        part.rename(path)
    except OSError as error:
        raise InvalidField("FILE", f"{path} cannot be written: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)


def _lines(tasks: QuerySet[Task], newest: int, *, with_output: bool) -> Iterator[str]:
    """Return the JSON text of each task up to the id `newest`."""
    from taskmaster.tasks.api.serializers import OutputSerializer, TaskSerializer

    serializer = TaskSerializer()
    # Why a task is not running takes several queries, and holds for the moment only.
    del serializer.fields["reason"]
    for task in _read(tasks, newest):
        fields = serializer.to_representation(task)
        if with_output:
            chunks = TaskOutput.objects.filter(task_id=task.pk).order_by("lease", "seq")
            fields["output"] = OutputSerializer(chunks, many=True).data
        # ASCII, since standard output may have an encoding that lacks other characters.
        yield json.dumps(fields, separators=(",", ":"))


def _read(tasks: QuerySet[Task], newest: int) -> Iterator[Task]:
    """Read the tasks up to the id `newest` by id, in short queries.

    One long query would keep its snapshot, which slows claims down, and needs a server-side cursor,
    which PgBouncer cannot give.
    """
    after = (Task.objects.aggregate(first=Min("pk"))["first"] or newest + 1) - 1
    while after < newest:
        end = min(after + _RANGE, newest)
        rows = list(tasks.filter(pk__gt=after, pk__lte=end).order_by("pk")[:_ROWS])
        yield from rows
        after = rows[-1].pk if len(rows) == _ROWS else end
