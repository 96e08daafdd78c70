"""Declare the options of `manage.py taskmaster` and convert them into a submission."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping
from typing import Any

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.queries.search import REACH_TEXT
from taskmaster.tasks.registry import SHELL

_SUBMIT_EXAMPLES = """\
examples:
  manage.py taskmaster submit examples.tasks.add --args '[1, 2]' --wait
  manage.py taskmaster submit examples.tasks.archive --kwargs '{"path": "a", "into": "a.gz"}'
  manage.py taskmaster submit examples.tasks.add --args '[1, 2]' --at 2030-01-31T12:00:00Z
  manage.py taskmaster submit --shell 'seq 3 | sort -r' --wait
  manage.py taskmaster submit --shell 'echo "$WHO" in "$PWD"' --cwd /tmp --env WHO=me --tag nightly
  manage.py taskmaster submit shell --kwargs '{"command": ["ls", "-l", "a folder"]}'
"""
_LIST_EXAMPLES = """\
examples:
  manage.py taskmaster list --status failed --queue reports
  manage.py taskmaster list --name shell --tag nightly --limit 100
  manage.py taskmaster list --q timeout --status failed
  manage.py taskmaster list --status pending,started --json | jq '.[].id'
"""
_SHOW_EXAMPLES = """\
examples:
  manage.py taskmaster show 42
  manage.py taskmaster show 42 --json | jq .result
"""
_CANCEL_EXAMPLES = """\
examples:
  manage.py taskmaster cancel 42
  manage.py taskmaster cancel 42 43 44
"""
_RETRY_EXAMPLES = """\
examples:
  manage.py taskmaster retry 42
  manage.py taskmaster list --status failed --json | jq '.[].id' | xargs manage.py taskmaster retry
"""

#: Option name by field of a submission or filter, where the two differ.
_OPTIONS = {
    "name": "NAME",
    "scheduled_at": "--at",
    "timeout_s": "--timeout",
    "retry_base_s": "--retry-base",
    "retry_cap_s": "--retry-cap",
    "tags": "--tag",
}
_SHELL_OPTIONS = {
    **_OPTIONS,
    "name": "--shell",
    # `args` and `kwargs` fail on their size only; they hold the script and its environment.
    "args": "--shell",
    "kwargs": "--shell",
    "kwargs.command": "--shell",
    "kwargs.cwd": "--cwd",
    "kwargs.env": "--env",
}


#: Declares an action from its name, a one-line summary and examples; returns its parser.
Action = Callable[[str, str, str], ArgumentParser]


def actions_of(parser: ArgumentParser) -> Action:
    """Return a function that adds an action, with --json, to the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str, examples: str) -> ArgumentParser:
        added: ArgumentParser = actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=examples,
            formatter_class=RawDescriptionHelpFormatter,
        )
        added.add_argument(
            "--json", action="store_true", help="print JSON with the field names of the REST API"
        )
        return added

    return action


def add_actions(action: Action) -> None:
    """Declare submit, list, show, cancel and retry."""
    _add_submit(action("submit", "submit a task that runs now or later", _SUBMIT_EXAMPLES))
    _add_list(action("list", "list tasks, newest first", _LIST_EXAMPLES))
    show = action("show", "show a task with its result, errors and output", _SHOW_EXAMPLES)
    show.add_argument("ids", metavar="ID", nargs=1)
    cancel = action("cancel", "cancel tasks that have not ended", _CANCEL_EXAMPLES)
    cancel.add_argument("ids", metavar="ID", nargs="+")
    retry = action("retry", "retry failed or cancelled tasks", _RETRY_EXAMPLES)
    retry.add_argument("ids", metavar="ID", nargs="+")


def _add_submit(parser: ArgumentParser) -> None:
    # Django reserves the option name `args`.
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="dotted path of a registered task")
    add("--args", dest="task_args", metavar="JSON", help="positional arguments as a JSON list")
    add("--kwargs", dest="task_kwargs", metavar="JSON", help="keyword arguments as a JSON object")
    add("--shell", metavar="SCRIPT", help="run this script with sh instead of a registered task")
    add("--cwd", metavar="DIR", help="working directory of the script, on the worker")
    add(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        help="environment variable of the script; repeatable",
    )
    add("--queue", metavar="QUEUE", help="queue of the task (default: as declared)")
    add(
        "--priority",
        metavar="N",
        help="from -100 to 100, higher priorities start first (default: as declared)",
    )
    add(
        "--at",
        metavar="TIME",
        help="earliest start, such as 2030-01-31T12:00:00+01:00 (default: now)",
    )
    add(
        "--max-attempts",
        metavar="N",
        help="maximum number of attempts (default: as declared)",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        help="time-out of each attempt, 0 for none (default: as declared)",
    )
    add(
        "--retry-base",
        metavar="SECONDS",
        help="pause before the first retry; doubles with each retry (default: as declared)",
    )
    add(
        "--retry-cap",
        metavar="SECONDS",
        help="maximum pause before a retry (default: as declared)",
    )
    add(
        "--on-lost-contact",
        metavar="{continue,stop}",
        help="whether the worker continues or stops the task when it loses contact (default: as "
        "declared)",
    )
    add(
        "--tag",
        metavar="TAG",
        action="append",
        help="tag of the task; repeatable (default: as declared)",
    )
    add(
        "--wait",
        action="store_true",
        help="wait for the task to end and show it; exit with 1 unless it is complete",
    )
    add(
        "--deadline",
        metavar="SECONDS",
        help="with --wait: stop waiting after this time; the task continues",
    )


def _add_list(parser: ArgumentParser) -> None:
    add_filters(parser)
    parser.add_argument(
        "--schedule", metavar="NAME", help="only tasks that this schedule has submitted"
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        default="20",
        help="maximum number of tasks, from 1 to 10000 (default: %(default)s)",
    )


def add_filters(parser: ArgumentParser) -> None:
    """Declare the options that filter tasks."""
    add = parser.add_argument
    statuses = ", ".join(status.value for status in Status)
    add(
        "--status", metavar="STATUS", help=f"one status, or several separated by commas: {statuses}"
    )
    add("--queue", metavar="QUEUE", help="only tasks of this queue")
    add("--name", metavar="NAME", help="only tasks of this dotted path, or shell")
    add("--tag", metavar="TAG", help="only tasks with this tag")
    add(
        "--q",
        metavar="TEXT",
        help="only tasks that match this search text: words in name, arguments and error, a whole "
        "queue, worker, tag or submitter, an id, or #ID for one task; the search looks "
        f"{REACH_TEXT}",
    )


def submission_fields(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields for `taskmaster.tasks.submission.parse`. Raises InvalidField."""
    common: dict[str, object] = {
        "queue": options["queue"],
        "priority": number(options["priority"]),
        "scheduled_at": options["at"],
        "max_attempts": number(options["max_attempts"]),
        "timeout_s": seconds(options["timeout"]),
        "retry_base_s": seconds(options["retry_base"]),
        "retry_cap_s": seconds(options["retry_cap"]),
        "on_lost_contact": options["on_lost_contact"],
        "tags": options["tag"],
    }
    if options["shell"] is None:
        for option in ("cwd", "env"):
            if options[option] is not None:
                raise InvalidField(f"--{option}", "requires --shell.")
        return {
            "name": options["name"],
            "args": _json("--args", options["task_args"]),
            "kwargs": _json("--kwargs", options["task_kwargs"]),
            **common,
        }
    for option, value in (("NAME", "name"), ("--args", "task_args"), ("--kwargs", "task_kwargs")):
        if options[value] is not None:
            raise InvalidField(option, "cannot be combined with --shell.")
    command = {
        "command": options["shell"],
        "cwd": options["cwd"],
        "env": _environment(options["env"]),
    }
    given = {key: value for key, value in command.items() if value is not None}
    return {"name": SHELL, "kwargs": given, **common}


def with_option_name(error: InvalidField, *, shell: bool) -> InvalidField:
    """Return the same error with the field replaced by the command-line option."""
    field = error.field.partition("[")[0]
    names = _SHELL_OPTIONS if shell else _OPTIONS
    return InvalidField(names.get(field, f"--{field.replace('_', '-')}"), error.rule)


def limit(text: str, option: str = "--limit") -> int:
    """Parse the limit of a list. Raises InvalidField."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 10_000:
        raise InvalidField(option, f"is {text!r}; it must be a whole number from 1 to 10000.")
    return int(text)


def seconds(text: str | None) -> object:
    """Return the text as a float. Return other text unchanged, so that validation rejects it."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def number(text: str | None) -> object:
    """Return the text as an int. Return other text unchanged, so that validation rejects it."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text


def _json(option: str, text: str | None) -> object:
    if text is None:
        return None
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidField(option, "is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise InvalidField(option, f"is not valid JSON: {error}.") from None


def _environment(pairs: list[str] | None) -> dict[str, str] | None:
    if pairs is None:
        return None
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise InvalidField("--env", f"is {pair!r}; it must have the form NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)
