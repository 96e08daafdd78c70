"""Check permissions. REST, gRPC, admin and command line share these checks.

A user who changes an object must be able to view it: the answer, the error and the count of a
change show its state. A submission needs no permission to view; its answer has the new id only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from taskmaster.tasks.conf import SHELL_OFF, settings
from taskmaster.tasks.errors import NotAllowed
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.registry import SHELL

ADD = "taskmaster_tasks.add_task"
VIEW = "taskmaster_tasks.view_task"
CHANGE = "taskmaster_tasks.change_task"
DELETE = "taskmaster_tasks.delete_task"
SUBMIT_SHELL = "taskmaster_tasks.submit_shell"
VIEW_SCHEDULE = "taskmaster_tasks.view_schedule"
CHANGE_SCHEDULE = "taskmaster_tasks.change_schedule"
RUN_SCHEDULE = "taskmaster_tasks.run_schedule"
#: Coordinators have no permissions module of their own, and `tasks` may not import their package.
VIEW_COORDINATORS = "taskmaster_coordinator.view_coordinator"


class User(Protocol):
    """Declare the part of Django's user model that the checks need."""

    def has_perm(self, perm: str) -> bool:
        """Return whether the user has this permission."""


def needed(permission: str) -> str:
    """Return the sentence that names a missing permission."""
    return f"This needs the permission {permission}."


def require(user: User, *permissions: str) -> None:
    """Raise NotAllowed unless the user has all permissions."""
    for permission in permissions:
        if not user.has_perm(permission):
            raise NotAllowed(needed(permission))


def may_shell(user: User) -> bool:
    """Return whether shell tasks are on and the user may submit them."""
    return settings().shell_tasks and user.has_perm(SUBMIT_SHELL)


def check_retry(user: User, task_name: str) -> None:
    """Raise NotAllowed unless the user may retry a task of this name."""
    require(user, VIEW, CHANGE)
    if task_name == SHELL:
        if not settings().shell_tasks:
            raise NotAllowed(f"This task cannot be retried: {SHELL_OFF}")
        require(user, SUBMIT_SHELL)


def check_schedule(user: User, task_name: str, *permissions: str) -> None:
    """Raise NotAllowed unless the user has these permissions for a schedule of this task.

    They are those to create, change, run, resume or back-fill it. For shell commands they are not
    enough.
    """
    require(user, VIEW_SCHEDULE, *permissions)
    if task_name == SHELL:
        check_shell_is_on()
        require(user, SUBMIT_SHELL)


def check_shell_is_on() -> None:
    """Raise NotAllowed if shell tasks are switched off in this process."""
    if not settings().shell_tasks:
        raise NotAllowed(f"This schedule runs a shell command, and {SHELL_OFF}")


def check_submit(user: User, tasks: Iterable[NewTask]) -> None:
    """Raise NotAllowed unless the user may submit all of these tasks."""
    require(user, ADD)
    if any(task.name == SHELL for task in tasks):
        require(user, SUBMIT_SHELL)
