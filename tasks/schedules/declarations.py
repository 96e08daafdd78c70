"""Find the schedules that code declares: with `@task`, and in the module `schedules` of an app.

    # shop/schedules.py
    schedules = [
        Cron("0 3 * * *", task=send_invoices, timezone="Europe/Berlin"),
        Every(300, name="poll", task="shop.tasks.poll", kwargs={"source": "mail"}),
    ]

The variable may also be a dict, whose keys are the names.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from taskmaster.tasks import registry
from taskmaster.tasks.compat import Task
from taskmaster.tasks.declaration import TaskMasterTask
from taskmaster.tasks.errors import ConfigurationError, InvalidField
from taskmaster.tasks.options import short_text
from taskmaster.tasks.signatures import check_call
from taskmaster.tasks.timing.declared import ScheduleDeclaration
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME

#: The name of the module of an app that declares schedules, and of the variable in it.
_MODULE = "schedules"


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """Hold one schedule that code declares. `fields` are those of a schedule in REST."""

    name: str
    fields: Mapping[str, object]
    #: File and line.
    declared_in: str


def load() -> list[DeclaredSchedule]:
    """Return the declared schedules, sorted by name.

    The apps must be ready. Raise ConfigurationError if a module cannot be imported, a declaration
    is invalid, or two of them have the same name.
    """
    found: dict[str, DeclaredSchedule] = {}
    for each in [*_of_tasks(), *_of_modules()]:
        if (other := found.get(each.name)) is not None:
            raise ConfigurationError(
                f"Two schedules have the name {each.name!r}: {other.declared_in} and "
                f"{each.declared_in}. Names are unique; give one of them another name=…"
            )
        found[each.name] = each
    return [found[name] for name in sorted(found)]


def _of_tasks() -> Iterator[DeclaredSchedule]:
    """Yield the schedules of `@task`."""
    for path, task in registry.load().items():
        if isinstance(task, TaskMasterTask):
            for each in task.schedules:
                yield _declared(each.name or path, path, each)


def _of_modules() -> Iterator[DeclaredSchedule]:
    """Yield the schedules of the modules `schedules`."""
    for config in apps.get_app_configs():
        # TaskMaster's own package `schedules` does not declare schedules.
        if config.name.partition(".")[0] == "taskmaster":
            continue
        if not module_has_submodule(config.module, _MODULE):
            continue
        path = f"{config.name}.{_MODULE}"
        try:
            module = importlib.import_module(path)
        except Exception as error:
            raise ConfigurationError(
                f"INSTALLED_APPS: {config.name}: {path} cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
        try:
            yield from _of_module(module)
        except InvalidField as error:
            raise ConfigurationError(f"{path}: {error}") from None


def _of_module(module: ModuleType) -> Iterator[DeclaredSchedule]:
    given = getattr(module, _MODULE, ())
    if isinstance(given, Mapping):
        items = [(f"{_MODULE}[{name!r}]", name, each) for name, each in given.items()]
    elif isinstance(given, list | tuple):
        items = [(f"{_MODULE}[{index}]", None, each) for index, each in enumerate(given)]
    elif isinstance(given, ModuleType):
        # An unrelated package `schedules` with a module of the same name.
        return
    else:
        raise InvalidField(_MODULE, "must be a list of schedules, or a dict of them by name.")
    for at, key, each in items:
        if not isinstance(each, ScheduleDeclaration):
            raise InvalidField(
                at, f"must be a Cron, an Every or a Dates, not {type(each).__name__}."
            )
        if key is not None and each.name not in (None, key):
            raise InvalidField(at, f"has the name {each.name!r} too; give one name.")
        path = _task_path(each, at)
        name = next((given for given in (each.name, key, path) if given is not None), None)
        if name is None:
            raise InvalidField(at, "a schedule of a command needs a name; give it name=…")
        short_text(name, f"{at}.name", MAX_SCHEDULE_NAME)
        yield _declared(name, path, each)


def _task_path(declaration: ScheduleDeclaration, at: str) -> str | None:
    """Return the dotted path of the task, or None for a command. Check the call.

    A path that this process does not know is checked later: a connected worker may know it.
    """
    given = declaration.task
    if given is None:
        if declaration.command is None:
            raise InvalidField(at, "has no task; give it task=… or command=…")
        return None
    path = given.module_path if isinstance(given, Task) else given
    known = registry.find(path)
    if isinstance(given, Task) and known is not None and known != given:
        raise InvalidField(
            f"{at}.task",
            f"is a variant of {path} with other options; give the options to the schedule.",
        )
    task = known or given
    if isinstance(task, Task):
        check_call(task, declaration.args, declaration.kwargs, at=f"{at}.")
    return path


def _declared(name: str, path: str | None, declaration: ScheduleDeclaration) -> DeclaredSchedule:
    return DeclaredSchedule(
        name,
        {**declaration.call_fields(path), **declaration.schedule_fields()},
        declaration.declared_in,
    )
