"""Who may do what: the same checks behind REST, gRPC, admin and command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tasks.errors import NotAllowed
from tasks.registry import SHELL
from tasks.submission import NewTask

ADD = "tasks.add_task"
VIEW = "tasks.view_task"
CHANGE = "tasks.change_task"
DELETE = "tasks.delete_task"
SUBMIT_SHELL = "tasks.submit_shell"


class User(Protocol):
    """What is needed of `django.contrib.auth` here."""

    def has_perm(self, perm: str) -> bool:
        """Whether the user has this permission."""


def require(user: User, permission: str) -> None:
    """Raises NotAllowed unless the user has the permission."""
    if not user.has_perm(permission):
        raise NotAllowed(f"This needs the permission {permission}.")


def check_retry(user: User, task_name: str) -> None:
    """Raises NotAllowed unless the user may have a task of this name run again."""
    require(user, CHANGE)
    if task_name == SHELL:
        require(user, SUBMIT_SHELL)


def check_submit(user: User, tasks: Iterable[NewTask]) -> None:
    """Raises NotAllowed unless the user may submit every one of these tasks."""
    require(user, ADD)
    if any(task.name == SHELL for task in tasks):
        require(user, SUBMIT_SHELL)
