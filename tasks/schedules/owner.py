"""Check whether runs can be submitted in the name of the owner of a schedule."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from taskmaster.tasks.errors import Conflict, InvalidField
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.permissions import SUBMIT_SHELL
from taskmaster.tasks.registry import SHELL
from taskmaster.tasks.schedules.fields import parse_call, stored_call


def owner_problem(schedule: Schedule) -> str:
    """Return why the owner cannot submit anything any more. Empty: the owner can.

    Schedules of code and of the command line have no owner.
    """
    if schedule.owner_id is None:
        return ""
    owner = _owner(schedule)
    if owner is None:
        return "The owner was deleted."
    return "" if owner.is_active else f"The owner {owner.get_username()} is not active."


def require_submission(schedule: Schedule) -> NewTask:
    """Return the submission of a run that a user asks for.

    Raise Conflict if the schedule cannot run: the owner may not submit it any more, its task does
    not exist, or its arguments do not fit the signature.
    """
    problem = owner_problem(schedule)
    if not problem and schedule.task == SHELL and schedule.owner_id is not None:
        owner = _owner(schedule)
        if not owner.has_perm(SUBMIT_SHELL):
            name = owner.get_username()
            problem = f"The owner {name} may not submit shell commands: {SUBMIT_SHELL}."
    if problem:
        raise Conflict(
            f"Schedule {schedule.name} cannot run. {problem} Edit it to become its owner."
        )
    try:
        return parse_call(stored_call(schedule))
    except InvalidField as error:
        raise Conflict(f"Schedule {schedule.name} cannot run. {error}") from None


def _owner(schedule: Schedule) -> Any:
    owner_id: Any = schedule.owner_id
    return get_user_model()._default_manager.filter(pk=owner_id).first()
