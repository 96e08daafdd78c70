"""Check whether the owners of schedules may still submit their runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth import get_user_model

from taskmaster.tasks.permissions import SUBMIT_SHELL
from taskmaster.tasks.registry import SHELL
from taskmaster.tasks.schedule_messages import DueSchedule
from taskmaster.tasks.schedules.planning import Submission


def find_owners(schedules: Iterable[DueSchedule]) -> Mapping[Any, Any]:
    """Return the users that own these schedules, by id. One query, or none without an owner."""
    ids = {each.owner_id for each in schedules if each.owner_id is not None}
    return get_user_model()._default_manager.in_bulk(list(ids)) if ids else {}


def check_owner(schedule: DueSchedule, owners: Mapping[Any, Any]) -> Submission | None:
    """Return a refusal if the owner may not submit the runs, else None."""
    if schedule.owner_id is None:
        return None
    user = owners.get(schedule.owner_id)
    if user is None:
        return Submission(None, "The owner was deleted.", pauses=True)
    if not user.is_active:
        return Submission(None, f"The owner {user.get_username()} is not active.", pauses=True)
    if schedule.task == SHELL and not user.has_perm(SUBMIT_SHELL):
        return Submission(
            None, f"The owner {user.get_username()} may not submit shell commands: {SUBMIT_SHELL}."
        )
    return None
