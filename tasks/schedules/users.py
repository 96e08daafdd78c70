"""Check what a user may do with schedules, and name the user in reasons and events."""

from __future__ import annotations

from typing import Any, Protocol

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.models.schedule import MAX_REASON
from taskmaster.tasks.options import json_type, short_text
from taskmaster.tasks.permissions import VIEW_SCHEDULE, check_schedule, check_shell_is_on, require
from taskmaster.tasks.registry import SHELL

#: Most characters of a user's reason. A stored reason also says what was done, and by whom.
REASON_MAX = 300


class ScheduleUser(Protocol):
    """Declare the part of a `django.contrib.auth` user that changes of schedules need."""

    @property
    def pk(self) -> Any:
        """Return the primary key."""

    def has_perm(self, perm: str) -> bool:
        """Return whether the user has this permission."""

    def get_username(self) -> str:
        """Return the user name."""


def check_user(user: ScheduleUser | None, permission: str) -> None:
    """Raise NotAllowed unless the user has the permission, and the one to view schedules.

    It is checked before a schedule is read, so that an error shows nothing of it.
    """
    if user is not None:
        require(user, VIEW_SCHEDULE, permission)


def check_runs(user: ScheduleUser | None, schedule: Schedule, permission: str) -> None:
    """Raise NotAllowed unless the user may cause runs of this schedule.

    A shell command needs the permission `submit_shell` in addition, and the setting `shell_tasks`,
    on the command line too.
    """
    if user is not None:
        check_schedule(user, schedule.task, permission)
    elif schedule.task == SHELL:
        check_shell_is_on()


def name_of(user: ScheduleUser | None) -> str:
    """Return the name for columns and events. Empty for the command line."""
    return "" if user is None else user.get_username()


def id_of(user: ScheduleUser | None) -> Any:
    """Return the id for columns. None for the command line."""
    return None if user is None else user.pk


def parse_reason(reason: object) -> str:
    """Validate a reason: a text of up to 300 characters, which may be empty."""
    if not isinstance(reason, str):
        raise InvalidField("reason", f"must be a string, not {json_type(reason)}.")
    reason = reason.strip()
    return short_text(reason, "reason", REASON_MAX) if reason else ""


def sentence(text: str, user: ScheduleUser | None, reason: str = "") -> str:
    """Return the reason of a run: `The schedule was paused by eve: data migration`."""
    by = f" by {user.get_username()}" if user is not None else ""
    return f"{text}{by}: {reason}"[:MAX_REASON] if reason else f"{text}{by}."[:MAX_REASON]


def publish_change(text: str, user: ScheduleUser | None) -> None:
    """Publish an event when the transaction commits.

    It names the schedule, and neither arguments nor reasons: readers of events need no permission
    to view schedules.
    """
    publish([NewEvent(EventKind.SCHEDULE, text, user=name_of(user))])
