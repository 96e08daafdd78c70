"""Validate submissions. Python, REST, gRPC, admin and command line share these rules.

`parse` converts the fields of a submission to a `NewTask`, or raises an error that names the field
and the rule. The database is read only for a name that this process does not know: a connected
worker may know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from taskmaster.tasks import fleet, registry
from taskmaster.tasks.conf import settings
from taskmaster.tasks.declaration import declared_options
from taskmaster.tasks.errors import InvalidField, TooLarge
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.options import (
    default_options,
    parse_options,
    short_text,
)
from taskmaster.tasks.payload import payload
from taskmaster.tasks.shell_limits import check_command_size
from taskmaster.tasks.signatures import check_call

if TYPE_CHECKING:
    from taskmaster.tasks.compat import Task

FIELDS = (
    "name",
    "args",
    "kwargs",
    "queue",
    "priority",
    "scheduled_at",
    "max_attempts",
    "timeout_s",
    "retry_base_s",
    "retry_cap_s",
    "on_lost_contact",
    "tags",
)
_SHELL_KEYS = ("command", "cwd", "env")


def parse(
    fields: Mapping[str, object], *, at: str = "", task: Task[..., Any] | None = None
) -> NewTask:
    """Return the task that `fields` describe. Absent options come from the declaration.

    The declaration is `task`, or else the registered task with the given name. If only workers know
    the name, there is no declaration, and the result is `unchecked`. A `command` without a `name`
    is the short form of a shell task. `at` is the prefix of field names in errors, such as
    `tasks[3].`. Raise InvalidField, TooLarge or UnknownTaskName.
    """
    if not isinstance(fields, Mapping):
        raise InvalidField(at.rstrip(".") or "body", "must be an object with the fields of a task.")
    if "command" in fields and "name" not in fields:
        return _parse_command(fields, at)
    for field in fields:
        if field not in FIELDS:
            raise InvalidField(
                f"{at}{field}", f"unknown field; valid fields are {', '.join(FIELDS)}."
            )
    name = _name(fields.get("name"), at)
    args, kwargs = payload(fields.get("args"), fields.get("kwargs"), at=at)
    given = parse_options(fields, at=at)
    task = task or registry.find(name)
    options, unchecked = default_options(), False
    if name == registry.SHELL:
        _check_shell(fields, at)
    elif task is None:
        unchecked = True
    else:
        check_call(
            task,
            cast("Sequence[object]", fields.get("args") or ()),
            cast("Mapping[str, object]", fields.get("kwargs") or {}),
            at=at,
        )
        options = declared_options(task)
    return NewTask(name, args, kwargs, *options.override(given), unchecked=unchecked)


def without_arguments(task: Task[..., Any]) -> NewTask:
    """Return the submission that the declaration describes. Raise UnknownTaskName."""
    return NewTask(_name(task.module_path, ""), "[]", "{}", *declared_options(task))


def parse_many(submissions: object) -> list[NewTask]:
    """Parse a list of submissions, all or none.

    Raise the errors of `parse`, InvalidField for an empty list, and TooLarge for more than
    `bulk_max_tasks`.
    """
    if not isinstance(submissions, Sequence) or isinstance(submissions, str | bytes):
        raise InvalidField("tasks", "must be a list of tasks.")
    check_bulk_size(len(submissions))
    return [parse(each, at=f"tasks[{index}].") for index, each in enumerate(submissions)]


def check_bulk_size(count: int) -> None:
    """Raise InvalidField if `count` is 0, and TooLarge if it exceeds `bulk_max_tasks`."""
    limit = settings().bulk_max_tasks
    if count == 0:
        raise InvalidField("tasks", "must contain at least one task.")
    if count > limit:
        raise TooLarge("tasks", f"has {count:,} tasks; the limit is {limit:,} per submission.")


def _parse_command(fields: Mapping[str, object], at: str) -> NewTask:
    """Parse the short form of a shell task."""
    for field in ("args", "kwargs"):
        if field in fields:
            raise InvalidField(
                f"{at}{field}",
                "cannot be combined with command, the short form; use name and kwargs.",
            )
    shell = {key: fields[key] for key in _SHELL_KEYS if key in fields}
    rest = {key: value for key, value in fields.items() if key not in shell}
    try:
        return parse({"name": registry.SHELL, "kwargs": shell, **rest}, at=at)
    except InvalidField as error:
        names = {f"{at}kwargs.{key}": f"{at}{key}" for key in _SHELL_KEYS}
        command = f"{at}command"
        raise error.renamed({**names, f"{at}kwargs": command, f"{at}args": command}) from None


def _name(value: object, at: str) -> str:
    if value is None:
        raise InvalidField(
            f"{at}name", "is required; give the name of a registered task, or shell."
        )
    name = short_text(value, f"{at}name", registry.MAX_NAME)
    try:
        registry.require(name)
    except InvalidField as error:
        # The setting of this process decides whether commands are accepted here.
        if name == registry.SHELL or not fleet.is_announced(name):
            raise type(error)(f"{at}name", error.rule) from None
    return name


def _check_shell(fields: Mapping[str, object], at: str) -> None:
    """Check that kwargs has a command (a script or argument list), otherwise only cwd and env."""
    if fields.get("args"):
        raise InvalidField(
            f"{at}args", "must be empty for a shell task; put the command into kwargs."
        )
    kwargs = fields.get("kwargs")
    assert isinstance(kwargs, dict | None)
    kwargs = kwargs or {}
    for key in kwargs:
        if key not in _SHELL_KEYS:
            raise InvalidField(
                f"{at}kwargs.{key}",
                "unknown key; valid keys of a shell task are command, cwd and env.",
            )
    command, where = kwargs.get("command"), f"{at}kwargs.command"
    if not (
        (isinstance(command, str) and command.strip())
        or (isinstance(command, list) and command and _strings(command) and command[0])
    ):
        raise InvalidField(
            where,
            "must be a script (a non-empty string) or a non-empty list of arguments (strings).",
        )
    cwd, env = kwargs.get("cwd"), kwargs.get("env")
    if cwd is not None and not (isinstance(cwd, str) and cwd):
        raise InvalidField(f"{at}kwargs.cwd", "must be the path of a directory.")
    if env is not None and not (
        isinstance(env, dict)
        and _strings([*env, *env.values()])
        and all(key and "=" not in key for key in env)
    ):
        raise InvalidField(
            f"{at}kwargs.env",
            "must be an object of strings; a name must not be empty or contain =.",
        )
    check_command_size(command, cwd, env or {}, at=f"{at}kwargs")


def _strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
