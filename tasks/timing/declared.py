"""Declare schedules in code: `Cron("0 3 * * *")`, `Every(300)`, `Dates(["2030-01-31 12:00"])`.

`@task(schedule=…)` and the module `schedules` of an app take these values. They are checked when
they are declared, without the database, so that workers can import them. Whether a declaration is
valid does not depend on the current time: a date that has passed must not break an import.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone as django_timezone

from taskmaster.tasks.compat import InvalidTask, Task
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import PYTHON_NAMES, parse_options, short_text
from taskmaster.tasks.payload import payload
from taskmaster.tasks.signatures import check_call
from taskmaster.tasks.timing.parse import parse_timing
from taskmaster.tasks.timing.rules import HORIZON, MAX_SCHEDULE_NAME
from taskmaster.tasks.timing.values import point_in_time
from taskmaster.tasks.timing.zones import zone_of

#: Field of a schedule by its name in Python, where the two differ.
_FIELDS = {
    **PYTHON_NAMES,
    "expression": "cron",
    "interval": "interval_s",
    "jitter": "jitter_s",
    "catch_up": "catch_up_s",
}
_PYTHON_NAMES = {of_rest: name for name, of_rest in _FIELDS.items()}
_SHORTLY = timedelta(seconds=1)
#: Maximum number of characters of the column for file and line.
_MAX_PLACE = 300
#: Attributes that are not fields of a schedule under their own name.
_NO_FIELDS = ("name", "task", "args", "kwargs", "command", "cwd", "env", "declared_in")


@dataclass(frozen=True, kw_only=True)
class ScheduleDeclaration:
    """Hold what all declared schedules have: the call, its options, and the rules of the schedule.

    None means not declared. A call option then has the value that the task declares, a rule the
    default of schedules. The names of the options are those of `@task`.
    """

    #: Name of the schedule. None: the dotted path of the task.
    name: str | None = None
    #: The task, or its dotted path. Only for the module `schedules` of an app.
    task: Task[..., Any] | str | None = None
    #: A shell command in place of a task: a script, or a list of arguments.
    command: str | Sequence[str] | None = None
    #: Working directory and environment variables of the command.
    cwd: str | None = None
    env: Mapping[str, str] | None = field(default=None, hash=False)
    #: Arguments of the task. They are copied as JSON.
    args: Sequence[Any] = field(default=(), hash=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    #: Name in the IANA database. None: the setting TIME_ZONE of the project.
    timezone: str | ZoneInfo | None = None
    #: `cron`, `skip` or `shift`: the rule for a time that the clocks skip.
    skipped_time: str | None = None
    #: `cron`, `first`, `second` or `both`: the rule for a time that occurs twice.
    repeated_time: str | None = None
    #: The first and the last possible due time. A time without a zone is local time.
    starts_at: datetime | str | None = None
    ends_at: datetime | str | None = None
    #: Number of runs after which the schedule ends.
    max_runs: int | None = None
    #: Spread the starts over this time after the due time, in seconds.
    jitter: float | timedelta | None = None
    #: `skip`, `latest` or `all`: the rule for missed due times.
    missed: str | None = None
    #: Number of missed runs that `all` makes up.
    missed_max: int | None = None
    #: Time in seconds for which missed runs are made up.
    catch_up: float | timedelta | None = None
    #: `allow`, `skip`, `queue_one` or `cancel_running`: the rule for an earlier run that has not
    #: ended.
    overlap: str | None = None

    queue_name: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    retry_base: float | None = None
    retry_cap: float | None = None
    on_lost_contact: str | None = None
    tags: Sequence[str] | None = None

    #: File and line of the declaration.
    declared_in: str = field(default="", init=False, compare=False)

    def __post_init__(self) -> None:
        self._set("declared_in", _caller())
        try:
            self._normalize()
            given = self.schedule_fields()
            parse_options(given)
            parse_timing(given, as_of(given, datetime.now(UTC)))
        except InvalidField as error:
            named = error.renamed(_PYTHON_NAMES)
            raise InvalidTask(f"{type(self).__name__}: {named}") from None

    def _normalize(self) -> None:
        """Copy what is mutable, so that the declaration can be a key."""
        if self.name is not None:
            short_text(self.name, "name", MAX_SCHEDULE_NAME)
        if self.task is not None and self.command is not None:
            raise InvalidField("command", "cannot be combined with task; give one of them.")
        if self.command is None and (self.cwd is not None or self.env is not None):
            raise InvalidField("cwd" if self.env is None else "env", "requires command.")
        if self.command is not None and (self.args or self.kwargs):
            raise InvalidField("args", "cannot be combined with command.")
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, timedelta):
                self._set(each.name, value.total_seconds())
            elif isinstance(value, ZoneInfo):
                self._set(each.name, value.key)
            elif isinstance(value, list):
                self._set(each.name, tuple(value))
        args, kwargs = payload(self.args, self.kwargs)
        self._set("args", tuple(json.loads(args)))
        self._set("kwargs", json.loads(kwargs))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def schedule_fields(self) -> dict[str, object]:
        """Return the declared timing and options as fields of a schedule, without the call."""
        given = {
            _FIELDS.get(each.name, each.name): value
            for each in fields(self)
            if each.name not in _NO_FIELDS and (value := getattr(self, each.name)) is not None
        }
        # A change of the default zone must change the schedule, so the zone is always a field.
        given.setdefault("timezone", django_timezone.get_default_timezone_name())
        return given

    def call_fields(self, task: str | None) -> dict[str, object]:
        """Return the fields of the call. `task` is the dotted path, or None for a command."""
        if task is not None:
            return {"task": task, "args": list(self.args), "kwargs": dict(self.kwargs)}
        command = list(self.command) if isinstance(self.command, tuple) else self.command
        given = {"command": command, "cwd": self.cwd, "env": self.env and dict(self.env)}
        kwargs = {name: value for name, value in given.items() if value is not None}
        return {"task": "shell", "args": [], "kwargs": kwargs}


@dataclass(frozen=True)
class Cron(ScheduleDeclaration):
    """Declare a schedule by a cron expression: five fields, or `@hourly` to `@yearly`."""

    expression: str


@dataclass(frozen=True)
class Every(ScheduleDeclaration):
    """Declare a schedule by an interval of elapsed time, in seconds or as a timedelta.

    It is due at whole intervals before and after `anchor`. Without an anchor they are counted from
    `starts_at`, or else from midnight of Monday, 1 January 2024, in the time zone, so that
    `Every(3600)` is due at the full hour.
    """

    interval: float | timedelta
    anchor: datetime | str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Dates(ScheduleDeclaration):
    """Declare a schedule by a list of dates. A date without a zone is local time."""

    dates: Sequence[datetime | str]


def as_of(given: Mapping[str, object], now: datetime) -> datetime:
    """Return the latest time, not after `now`, at which all dates of the declaration were ahead.

    Parsed as of this time, a declaration stays valid when its dates have passed. `given` are the
    fields of a schedule. Raise InvalidField.
    """
    zone = zone_of(given["timezone"])
    dates = given.get("dates")
    ahead = {"starts_at": _SHORTLY, "ends_at": HORIZON}
    times = [(name, given[name], before) for name, before in ahead.items() if given.get(name)]
    if isinstance(dates, list | tuple):
        times += [(f"dates[{index}]", each, _SHORTLY) for index, each in enumerate(dates)]
    return min(
        [now, *(point_in_time(value, name, zone, now) - before for name, value, before in times)]
    )


def parse_schedules(given: object, task: Task[..., Any]) -> tuple[ScheduleDeclaration, ...]:
    """Return the schedules of a task's declaration. Raise InvalidTask."""
    schedules = (given,) if isinstance(given, ScheduleDeclaration) else given
    if not isinstance(schedules, list | tuple) or not all(
        isinstance(each, ScheduleDeclaration) for each in schedules
    ):
        raise InvalidTask("schedule: must be a Cron, an Every or a Dates, or a list of them.")
    for each in schedules:
        if each.task is not None or each.command is not None:
            raise InvalidTask(
                "schedule: must not have a task or a command here; it runs the task that it "
                "decorates."
            )
        try:
            check_call(task, each.args, each.kwargs)
        except InvalidField as error:
            raise InvalidTask(f"schedule: {error}") from None
    names = [each.name for each in schedules]
    if len(names) > 1 and None in names:
        raise InvalidTask("schedule: each of several schedules needs a name; give it name=…")
    if len(set(names)) < len(names):
        raise InvalidTask("schedule: two schedules have the same name; names are unique.")
    if None in names and len(task.module_path) > MAX_SCHEDULE_NAME:
        raise InvalidTask(
            f"schedule: the path of the task has more than {MAX_SCHEDULE_NAME} characters and "
            "cannot be the name of the schedule; give it name=…"
        )
    return tuple(schedules)


def _caller() -> str:
    """Return the file, below the folder on `sys.path`, and the line that declare the schedule."""
    frame: FrameType | None = sys._getframe(1)
    # The frames above are those of this module and of the generated `__init__`.
    while frame is not None and frame.f_code.co_filename in (__file__, "<string>"):
        frame = frame.f_back
    if frame is None:
        return ""
    path = PurePath(frame.f_code.co_filename)
    depth = str(frame.f_globals.get("__name__", "")).count(".") + 1
    depth += path.name == "__init__.py"
    return f"{PurePath(*path.parts[-depth:])}:{frame.f_lineno}"[-_MAX_PLACE:]
