"""Which callables exist: the tasks declared in the modules of TASKMASTER_TASK_MODULES.

Web, coordinator and worker read the same list, so that what is accepted at submission is known
where it runs. The built-in name `shell` stands for a command, see `tasks.submission`.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.conf import settings

from tasks.errors import ConfigurationError, UnknownTaskName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.compat import Task

#: The name of a shell command, which is no Python callable.
SHELL = "shell"
#: How many near names an error message lists.
_NEAREST = 5


@cache
def load() -> Mapping[str, Task[..., Any]]:
    """Import the task modules and return the tasks they declare, by dotted path.

    Raises ConfigurationError when a module cannot be imported.
    """
    from tasks.compat import Task

    found: dict[str, Task[..., Any]] = {}
    for path in getattr(settings, "TASKMASTER_TASK_MODULES", ()):
        try:
            module = importlib.import_module(path)
        except Exception as error:
            raise ConfigurationError(
                f"TASKMASTER_TASK_MODULES: {path} cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
        found.update(
            (value.module_path, value) for value in vars(module).values() if isinstance(value, Task)
        )
    return MappingProxyType(found)


def names() -> list[str]:
    """Every name that can be submitted, `shell` first."""
    return [SHELL, *sorted(load())]


def get(name: str) -> Task[..., Any]:
    """The task of this dotted path. Raises UnknownTaskName with the nearest names."""
    try:
        return load()[name]
    except KeyError:
        raise UnknownTaskName("name", _unknown(name)) from None


def require(name: str) -> None:
    """Raises UnknownTaskName unless `name` is registered or `shell`."""
    if name != SHELL:
        get(name)


def _unknown(name: str) -> str:
    known = names()
    near = difflib.get_close_matches(name, known, n=_NEAREST, cutoff=0.4) or known[:_NEAREST]
    return f"no task is called {name!r}; the nearest names are {', '.join(near)}."
