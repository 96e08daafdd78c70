"""Parse the fields of a schedule into the columns of its row.

The fields have the names of REST. Pages, commands and Python use the same. A field with the value
None is not given: it has its default, or the value that the task declares.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskmaster.tasks import submission
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.options import TaskOptions, parse_options, short_text
from taskmaster.tasks.timing.parse import TIMING_FIELDS, TRIGGER_FIELDS, ParsedTiming, parse_timing
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME, TriggerKind

#: Options of the tasks. A schedule has a time of its own.
OPTIONS = tuple(option for option in TaskOptions._fields if option != "scheduled_at")
_SHORT_FORM = ("command", "cwd", "env")
CALL = ("task", *_SHORT_FORM, "args", "kwargs", *OPTIONS)
FIELDS = ("name", *CALL, *TIMING_FIELDS)


def parse_new(fields: Mapping[str, object], now: datetime) -> dict[str, Any]:
    """Return the columns of a new schedule. Raise InvalidField, TooLarge or UnknownTaskName."""
    given = _given(fields)
    return {
        "name": _name(given.get("name")),
        **_call_columns(given),
        **parse_timing(given, now).columns(),
    }


def parse_unsaved(fields: Mapping[str, object], now: datetime) -> ParsedTiming:
    """Return the timing of a schedule that is being written: its name and task may be missing.

    Fields that are given are checked. Raise the errors of `parse_new`.
    """
    given = _given(fields)
    if "name" in given:
        _name(given["name"])
    if "task" in given or "command" in given:
        parse_call(given)
    return parse_timing(given, now)


def parse_changes(
    schedule: Schedule, fields: Mapping[str, object], now: datetime
) -> dict[str, Any]:
    """Return the columns that differ after a change of these fields.

    The call and the timing are checked only if one of their fields is given. So a schedule whose
    task does not exist any more can be renamed. Raise the errors of `parse_new`.
    """
    _given(fields)
    columns: dict[str, Any] = {}
    if "name" in fields:
        columns["name"] = _name(fields["name"])
    if not fields.keys().isdisjoint(CALL):
        columns |= _call_columns(_given({**_stored_call(schedule, fields), **fields}))
    if not fields.keys().isdisjoint(TIMING_FIELDS):
        merged = {**_stored_timing(schedule, fields), **fields}
        columns |= parse_timing(_given(merged), now).columns()
    return {
        name: value
        for name, value in columns.items()
        if not _is_same(value, getattr(schedule, name))
    }


def parse_call(fields: Mapping[str, object]) -> NewTask:
    """Return the submission that the fields of the call describe.

    A `command` without a `task` is the short form of a shell command, as in a submission. Raise
    InvalidField, TooLarge or UnknownTaskName.
    """
    given = {name: fields[name] for name in CALL if name in fields}
    if "command" in given and "task" in given:
        raise InvalidField(
            "command", "cannot be combined with task; leave out task, or put command into kwargs."
        )
    for name in ("cwd", "env"):
        if name in given and "command" not in given:
            raise InvalidField(name, "requires command; of the task shell it belongs to kwargs.")
    if "task" in given:
        given["name"] = given.pop("task")
    try:
        return submission.parse(given)
    except InvalidField as error:
        raise error.renamed({"name": "task"}) from None


def stored_call(schedule: Schedule) -> dict[str, Any]:
    """Return the fields of the call of a stored schedule, with the options that are given."""
    options = {name: getattr(schedule, name) for name in OPTIONS}
    return {
        "task": schedule.task,
        "args": schedule.args,
        "kwargs": schedule.kwargs,
        **{name: value for name, value in options.items() if value is not None},
    }


def _call_columns(given: Mapping[str, object]) -> dict[str, Any]:
    task = parse_call(given)
    options: dict[str, Any] = {**parse_options(given)}
    if "tags" in options:
        options["tags"] = list(options["tags"])
    return {
        "task": task.name,
        "args": json.loads(task.args),
        "kwargs": json.loads(task.kwargs),
        **{name: options.get(name) for name in OPTIONS},
    }


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields with a value. Raise InvalidField for an unknown field."""
    for name in fields:
        if name not in FIELDS:
            raise InvalidField(name, f"unknown field; valid fields are {', '.join(FIELDS)}.")
    return {name: value for name, value in fields.items() if value is not None}


def _stored_call(schedule: Schedule, changes: Mapping[str, object]) -> dict[str, Any]:
    """Return the stored fields that the changes are merged with."""
    stored = stored_call(schedule)
    if changes.get("command") is not None:
        # The short form replaces the task and its arguments.
        return {name: value for name, value in stored.items() if name in OPTIONS}
    return stored


def _stored_timing(schedule: Schedule, changes: Mapping[str, object]) -> dict[str, Any]:
    """Return the stored fields that the changes are merged with. Another trigger replaces it."""
    kind = {"cron": "cron", "interval": "interval_s", "dates": "dates"}[
        TriggerKind(schedule.trigger)
    ]
    left_out = {name for name in TRIGGER_FIELDS if name != kind}
    if any(changes.get(name) is not None for name in left_out):
        left_out |= {kind, "anchor"}
    return {name: getattr(schedule, name) for name in TIMING_FIELDS if name not in left_out}


def _is_same(value: object, stored: object) -> bool:
    """Return whether a value is the stored one. JSON distinguishes 1, 1.0 and true."""
    return value == stored and json.dumps(value, default=str) == json.dumps(stored, default=str)


def _name(value: object) -> str:
    if value is None:
        raise InvalidField("name", "is required; give the schedule a name of its own.")
    name = short_text(value, "name", MAX_SCHEDULE_NAME)
    if name != name.strip() or any(unicodedata.category(each) == "Cc" for each in name):
        raise InvalidField(
            "name", f"is {name!r}; it must not have control characters, or spaces at its ends."
        )
    return name
