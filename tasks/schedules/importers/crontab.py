"""Read a crontab file. Its commands become shell tasks."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers.found import FoundSchedule
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME

_VARIABLE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(["']?)(.*)\2""")
#: An unescaped percent sign ends the command and starts its standard input.
_PERCENT = re.compile(r"(?<!\\)%")
#: Variables of cron itself that have no effect here.
_LEFT_OUT = {
    "MAILTO": "MAILTO is left out: the output is kept with the task",
    "MAILFROM": "MAILFROM is left out",
    "CONTENT_TYPE": "CONTENT_TYPE is left out",
}
_NO_VARIABLES = ("SHELL", "CRON_TZ", "RANDOM_DELAY", "LOGNAME", "USER")
_MAX_BYTES = 1_048_576
#: Digits of a delay in minutes. More than 1,440 minutes are refused.
_MAX_DIGITS = 9


@dataclass
class _Settings:
    """Hold the variables that the lines so far have set."""

    zone: str
    variables: dict[str, str] = field(default_factory=dict)


def find(path: str, zone: str, *, system: bool) -> Iterator[FoundSchedule]:
    """Yield the lines with commands. Raise InvalidField if the file cannot be read.

    `zone` is the time zone of the machine that the crontab is from. In a `system` crontab, a column
    before the command names the user.
    """
    settings, names = _Settings(zone), set[str]()
    for number, line in enumerate(_read(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if variable := _VARIABLE.fullmatch(text):
            settings.variables[variable[1]] = variable[3]
            continue
        found = _found(text, settings, number, system=system)
        if found.name in names:
            # A command with two schedules.
            found = _renamed(found, f"{found.name[: MAX_SCHEDULE_NAME - 12]} (line {number})")
        names.add(found.name)
        yield found


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InvalidField("FILE", f"{path} has more than {_MAX_BYTES:,} bytes.")
        return data.decode()
    except (OSError, ValueError) as error:
        raise InvalidField("FILE", f"{path} cannot be read: {error}.") from None


def _renamed(found: FoundSchedule, name: str) -> FoundSchedule:
    return FoundSchedule(name, found.runs, found.fields, found.notes, found.obstacle)


def _found(text: str, settings: _Settings, number: int, *, system: bool) -> FoundSchedule:
    width = 1 if text.startswith("@") else 5
    columns = text.split(None, width + system)
    if len(columns) <= width + system:
        return FoundSchedule(
            f"line {number}", text[:60], obstacle=f"line {number} has too few columns."
        )
    expression, command = " ".join(columns[:width]), columns[-1]
    notes = [text for name, text in _LEFT_OUT.items() if settings.variables.get(name)]
    if system:
        notes.insert(0, f"runs as the worker's user, not as {columns[width]}")
    name = " ".join(command.split())[:MAX_SCHEDULE_NAME]
    obstacle = _obstacle(expression, command, system=system)
    if obstacle:
        return FoundSchedule(name, command, notes=tuple(notes), obstacle=obstacle)
    try:
        fields = {"cron": expression, **_fields(settings, command.replace("\\%", "%"))}
    except InvalidField as error:
        return FoundSchedule(name, command, notes=tuple(notes), obstacle=str(error))
    return FoundSchedule(name, command, fields, notes=tuple(notes))


def _obstacle(expression: str, command: str, *, system: bool) -> str:
    if expression == "@reboot":
        return "It runs when the machine starts, which TaskMaster does not support."
    if _PERCENT.search(command):
        return "A % starts the standard input of the command; write the input into the command."
    if not system and _is_user(command.partition(" ")[0]):
        return f"{command.partition(' ')[0]!r} is a user; use --system for a system crontab."
    return ""


def _is_user(word: str) -> bool:
    try:
        pwd.getpwnam(word)
    except (KeyError, ValueError):
        # It contains a null byte, which the check of the command refuses.
        return False
    return True


def _fields(settings: _Settings, command: str) -> dict[str, object]:
    variables = settings.variables
    shell = variables.get("SHELL", "/bin/sh")
    call: dict[str, object] = {
        "command": command if PurePath(shell).name == "sh" else [shell, "-c", command]
    }
    if "HOME" in variables:
        call["cwd"] = variables["HOME"]
    environment = {
        name: value
        for name, value in variables.items()
        if name not in _LEFT_OUT and name not in _NO_VARIABLES
    }
    if environment:
        call["env"] = environment
    fields: dict[str, object] = {
        "task": "shell",
        "kwargs": call,
        "timezone": variables.get("CRON_TZ") or settings.zone,
    }
    if delay := variables.get("RANDOM_DELAY"):
        if not delay.isdecimal() or len(delay) > _MAX_DIGITS:
            raise InvalidField(
                "RANDOM_DELAY", f"is {delay[:40]!r}; it must be a number of minutes."
            )
        fields["jitter_s"] = int(delay) * 60.0
    return fields
