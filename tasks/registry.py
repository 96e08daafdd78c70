"""Load the tasks that the modules `tasks` of the installed apps declare.

TASKMASTER_TASK_MODULES names additional modules. Web, coordinators and workers load their own
modules. During a rolling deployment they may know different names, so workers announce theirs; see
`taskmaster.tasks.fleet`. The built-in name `shell` runs a shell command if the setting
`shell_tasks` is on; see `taskmaster.tasks.submission`.
"""

from __future__ import annotations

import difflib
import importlib
import os
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings as django_settings
from django.utils.module_loading import module_has_submodule

from taskmaster.tasks.conf import SHELL_OFF, settings
from taskmaster.tasks.errors import ConfigurationError, UnknownTaskName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskmaster.tasks.compat import Task

#: The task name of a shell command.
SHELL = "shell"
#: Maximum number of characters of a task name.
MAX_NAME = 200
#: The name of the module of an app that declares tasks.
_MODULE = "tasks"
#: The setting and the environment variable that name additional modules. The variable is a
#: comma-separated list.
_VARIABLE = "TASKMASTER_TASK_MODULES"
#: Maximum number of similar names in an error message.
_NEAREST = 5


@cache
def load() -> Mapping[str, Task[..., Any]]:
    """Import the task modules and return their tasks by dotted path.

    The apps must be ready. Raise ConfigurationError if a module cannot be imported.
    """
    from taskmaster.tasks.compat import Task

    found: dict[str, Task[..., Any]] = {}
    for path, source in [*_app_modules(), *_additional_modules()]:
        try:
            module = importlib.import_module(path)
        except Exception as error:
            raise ConfigurationError(
                f"{source}: {path} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        for attribute, value in vars(module).items():
            if not isinstance(value, Task):
                continue
            # A module may also name variants, such as `urgent = send.options(priority=9)`. The
            # declaration is the one under the name of the callable.
            if value.module_path == f"{path}.{attribute}":
                found[value.module_path] = value
            else:
                found.setdefault(value.module_path, value)
    return MappingProxyType(found)


def _app_modules() -> Iterator[tuple[str, str]]:
    """Yield (module, source) for each app with a module `tasks`, as Django's admin does."""
    for config in apps.get_app_configs():
        # TaskMaster's own package `tasks` does not declare tasks.
        if config.name != "taskmaster" and module_has_submodule(config.module, _MODULE):
            yield f"{config.name}.{_MODULE}", f"INSTALLED_APPS: {config.name}"


def _additional_modules() -> list[tuple[str, str]]:
    """Return (module, source) for TASKMASTER_TASK_MODULES.

    The environment variable takes precedence over the setting.
    """
    given = os.environ.get(_VARIABLE, getattr(django_settings, _VARIABLE, ()))
    paths = given.split(",") if isinstance(given, str) else given
    return [(path.strip(), _VARIABLE) for path in paths if path.strip()]


def names() -> list[str]:
    """Return all names that this process knows, `shell` first if shell tasks are on."""
    return [*([SHELL] if settings().shell_tasks else []), *sorted(load())]


def get(name: str) -> Task[..., Any]:
    """Return the task with this dotted path. Raise UnknownTaskName with similar names."""
    try:
        return load()[name]
    except KeyError:
        raise UnknownTaskName("name", _unknown_name(name)) from None


def find(name: str) -> Task[..., Any] | None:
    """Return the task with this dotted path, or None."""
    return load().get(name)


def require(name: str) -> None:
    """Raise UnknownTaskName unless `name` is registered, or is `shell` and shell tasks are on."""
    if name != SHELL:
        get(name)
    elif not settings().shell_tasks:
        raise UnknownTaskName("name", SHELL_OFF)


def _unknown_name(name: str) -> str:
    known = names()
    near = difflib.get_close_matches(name, known, n=_NEAREST, cutoff=0.4) or known[:_NEAREST]
    closest = f"; the closest names are {', '.join(near)}" if near else ""
    return (
        f"{name!r} is not a registered task, and no connected worker knows it{closest}. Tasks are "
        f"loaded from the module tasks of each installed app and from {_VARIABLE}."
    )
