"""Check whether the owners of schedules may still submit their runs.

Schedules of code and of the command line have no owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth import get_user_model

from taskmaster.tasks.models import Schedule
from taskmaster.tasks.permissions import SUBMIT_SHELL
from taskmaster.tasks.registry import SHELL
from taskmaster.tasks.schedule_messages import DueSchedule
from taskmaster.tasks.schedules.planning import Submission


def find_owners(schedules: Iterable[DueSchedule | Schedule]) -> Mapping[Any, Any]:
    """Return the users that own these schedules, by id. One query, or none without an owner."""
    ids = {each.owner_id for each in schedules if each.owner_id is not None}
    return get_user_model()._default_manager.in_bulk(list(ids)) if ids else {}


def check_owner(schedule: DueSchedule, owners: Mapping[Any, Any]) -> Submission | None:
    """Return a refusal if the owner may not submit the runs, else None."""
    if problem := account_problem(schedule, owners):
        return Submission(None, problem, pauses=True)
    if problem := shell_problem(schedule, owners):
        return Submission(None, problem)
    return None


def account_problem(schedule: DueSchedule | Schedule, owners: Mapping[Any, Any]) -> str:
    """Return why the owner cannot submit anything any more. Empty: the owner can."""
    if schedule.owner_id is None:
        return ""
    owner = owners.get(schedule.owner_id)
    if owner is None:
        return "The owner was deleted."
    return "" if owner.is_active else f"The owner {owner.get_username()} is not active."


def shell_problem(schedule: DueSchedule | Schedule, owners: Mapping[Any, Any]) -> str:
    """Return why the owner, who is active, cannot submit a shell command. Empty: the owner can."""
    if schedule.owner_id is None or schedule.task != SHELL:
        return ""
    owner = owners[schedule.owner_id]
    if owner.has_perm(SUBMIT_SHELL):
        return ""
    return f"The owner {owner.get_username()} may not submit shell commands: {SUBMIT_SHELL}."
