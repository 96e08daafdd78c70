"""The command line of `manage.py taskmaster`: its words, and the submission that they describe."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping
from typing import Any

from tasks.conf import settings
from tasks.errors import InvalidField
from tasks.lifecycle import Status
from tasks.registry import SHELL

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

#: How a field of a submission or of a list is called here.
_WORDS = {
    "name": "NAME",
    "scheduled_at": "--at",
    "timeout_s": "--timeout",
    "retry_base_s": "--retry-base",
    "retry_cap_s": "--retry-cap",
    "tags": "--tag",
}
_SHELL_WORDS = {
    **_WORDS,
    # The size of the arguments, which are the script and its environment.
    "args": "--shell",
    "kwargs": "--shell",
    "kwargs.command": "--shell",
    "kwargs.cwd": "--cwd",
    "kwargs.env": "--env",
}


#: Declares an action: its name, what it does in a line, and examples.
Action = Callable[[str, str, str], ArgumentParser]


def actions_of(parser: ArgumentParser) -> Action:
    """What adds actions to a command, each with --json."""
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
            "--json", action="store_true", help="print JSON, with the field names of the REST API"
        )
        return added

    return action


def add_actions(action: Action) -> None:
    """Declares submit, list, show, cancel and retry."""
    _add_submit(action("submit", "store a task, to be run now or later", _SUBMIT_EXAMPLES))
    _add_list(action("list", "list tasks, newest first", _LIST_EXAMPLES))
    show = action("show", "show a task with its result, errors and output", _SHOW_EXAMPLES)
    show.add_argument("ids", metavar="ID", nargs=1)
    cancel = action("cancel", "cancel tasks that have not ended", _CANCEL_EXAMPLES)
    cancel.add_argument("ids", metavar="ID", nargs="+")
    retry = action("retry", "run failed or cancelled tasks again, now", _RETRY_EXAMPLES)
    retry.add_argument("ids", metavar="ID", nargs="+")


def _add_submit(parser: ArgumentParser) -> None:
    conf = settings()
    # No option is called `args`: Django takes that name for itself.
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="dotted path of a registered task")
    add("--args", dest="task_args", metavar="JSON", help="positional arguments: a JSON list")
    add("--kwargs", dest="task_kwargs", metavar="JSON", help="arguments by name: a JSON object")
    add("--shell", metavar="SCRIPT", help="run this script with sh, in place of a NAME")
    add("--cwd", metavar="FOLDER", help="where the script runs, on the worker")
    add(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        help="a variable of the script's environment; may be given again",
    )
    add("--queue", metavar="QUEUE", help="where workers look for it (default: default)")
    add("--priority", metavar="N", help="-100 to 100, higher first (default: 0)")
    add("--at", metavar="TIME", help="not before this time, like 2030-01-31T12:00:00+01:00")
    add(
        "--max-attempts",
        metavar="N",
        help=f"how often it may be tried (default: {conf.max_attempts})",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        help=f"of each attempt, 0 for none (default: {conf.timeout_s:g})",
    )
    add(
        "--retry-base",
        metavar="SECONDS",
        help=f"first pause before a retry, doubled with each (default: {conf.retry_base_s:g})",
    )
    add(
        "--retry-cap",
        metavar="SECONDS",
        help=f"the longest pause before a retry (default: {conf.retry_cap_s:g})",
    )
    add(
        "--on-lost-contact",
        metavar="{continue,stop}",
        help="what its worker does when it cannot reach any coordinator (default: continue)",
    )
    add("--tag", metavar="TAG", action="append", help="may be given again")
    add(
        "--wait",
        action="store_true",
        help="wait for the end and show the result; exit code 1 unless the task is complete",
    )
    add("--deadline", metavar="SECONDS", help="with --wait: wait no longer; the task goes on")


def _add_list(parser: ArgumentParser) -> None:
    add_filters(parser)
    parser.add_argument(
        "--limit", metavar="N", default="20", help="1 to 10000 (default: %(default)s)"
    )


def add_filters(parser: ArgumentParser) -> None:
    """Declares what selects tasks."""
    add = parser.add_argument
    statuses = ", ".join(status.value for status in Status)
    add("--status", metavar="STATUS", help=f"one, or several with commas between: {statuses}")
    add("--queue", metavar="QUEUE")
    add("--name", metavar="NAME", help="dotted path of the task, or shell")
    add("--tag", metavar="TAG", help="tasks that carry this tag")


def submission_fields(options: Mapping[str, Any]) -> dict[str, object]:
    """The fields for `tasks.submission.parse`. Raises InvalidField."""
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
                raise InvalidField(f"--{option}", "goes with --shell.")
        return {
            "name": options["name"],
            "args": _json("--args", options["task_args"]),
            "kwargs": _json("--kwargs", options["task_kwargs"]),
            **common,
        }
    for option, value in (("NAME", "name"), ("--args", "task_args"), ("--kwargs", "task_kwargs")):
        if options[value] is not None:
            raise InvalidField(option, "does not go with --shell.")
    command = {
        "command": options["shell"],
        "cwd": options["cwd"],
        "env": _environment(options["env"]),
    }
    given = {key: value for key, value in command.items() if value is not None}
    return {"name": SHELL, "kwargs": given, **common}


def as_typed(error: InvalidField, *, shell: bool) -> InvalidField:
    """The same complaint about the option that the user has typed."""
    field = error.field.partition("[")[0]
    words = _SHELL_WORDS if shell else _WORDS
    return InvalidField(words.get(field, f"--{field.replace('_', '-')}"), error.rule)


def limit(text: str) -> int:
    """Of a list. Raises InvalidField."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 10_000:
        raise InvalidField("--limit", f"is {text!r}; it must be a whole number from 1 to 10000.")
    return int(text)


def seconds(text: str | None) -> object:
    """A number where it is one; else the text, for the rules to refuse."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def number(text: str | None) -> object:
    """A whole number where it is one; else the text, for the rules to refuse."""
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
        raise InvalidField(option, "is no JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise InvalidField(option, f"is no JSON: {error}.") from None


def _environment(pairs: list[str] | None) -> dict[str, str] | None:
    if pairs is None:
        return None
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise InvalidField("--env", f"{pair!r} must be NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)
