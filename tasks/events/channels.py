"""Define the channels of the live stream and the permissions to read them.

all                 all events
task-<id>           events of one task
queue-<name>        events of one queue
worker-<id>         events of one worker
dashboard           fragments of the dashboard
dashboard-workers   worker cards of the dashboard
coordinators        coordinator cards of the dashboard
workers             changes of the list of workers
schedules           events of recurring schedules

A view checks the permissions and leaves a `StreamGrant` for the ASGI application, which sends the
stream after the view has returned. A stream inside a view would occupy a thread and a database
connection while it is open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.ids import parse_id
from taskmaster.tasks.models import Event
from taskmaster.tasks.permissions import VIEW, VIEW_SCHEDULE

ALL = "all"
DASHBOARD = "dashboard"
DASHBOARD_WORKERS = "dashboard-workers"
COORDINATORS = "coordinators"
WORKERS = "workers"
SCHEDULES = "schedules"
#: The key of the grant in the ASGI scope.
SCOPE_KEY = "taskmaster.stream"
#: Maximum number of channels of one stream.
CHANNELS_MAX = 10
#: The permissions to read channels of workers and coordinators. `tasks` may not import those
#: packages, so they are only named.
_VIEW_WORKERS = "taskmaster_workers.view_worker"
_VIEW_COORDINATORS = "taskmaster_coordinator.view_coordinator"
_RULE = (
    "must be all, dashboard, dashboard-workers, coordinators, workers, schedules, task-<id>, "
    f"queue-<name> or worker-<id>, up to {CHANNELS_MAX} with commas between."
)
_TASK = re.compile(r"task-[1-9]\d{0,18}", re.ASCII)
_QUEUE = re.compile(r"queue-[\w.:-]{1,64}", re.ASCII)


#: Type and key of the credential of a reader.
Credential = tuple[Literal["session", "token"], str]


@dataclass(slots=True)
class StreamGrant:
    """Hold a reader and the channels that it may read."""

    user: Any
    credential: Credential
    channels: list[str]
    #: The event id after which each channel starts. A channel without an entry starts with its
    #: newest events.
    position: dict[str, int]


def parse(text: str) -> list[str]:
    """Return the channels that a request names, or `all` if it names none. Raise InvalidField."""
    names = [name.strip() for name in text.split(",")] if text else [ALL]
    if len(names) > CHANNELS_MAX or not all(map(_is_known, names)):
        raise InvalidField("channels", _RULE)
    return list(dict.fromkeys(names))


def permissions(channel: str) -> tuple[str, ...]:
    """Return the permissions that a reader of the channel needs.

    The events of a worker include those of its tasks, with their errors.
    """
    if channel == WORKERS:
        return (_VIEW_WORKERS,)
    if channel == SCHEDULES:
        return (VIEW_SCHEDULE,)
    if channel == COORDINATORS:
        return (VIEW, _VIEW_COORDINATORS)
    if channel == DASHBOARD_WORKERS or channel.startswith("worker-"):
        return (VIEW, _VIEW_WORKERS)
    return (VIEW,)


def for_event(event: Event) -> list[str]:
    """Return the channels on which an event is sent."""
    channels = [ALL]
    if event.kind == EventKind.SCHEDULE:
        channels.append(SCHEDULES)
    if event.task_id is not None:
        channels.append(f"task-{event.task_id}")
    if event.queue:
        channels.append(f"queue-{event.queue}")
    if event.worker_id is not None:
        channels.append(f"worker-{event.worker_id}")
    return channels


def _is_known(channel: str) -> bool:
    if channel in (ALL, DASHBOARD, DASHBOARD_WORKERS, COORDINATORS, WORKERS, SCHEDULES):
        return True
    if channel.startswith("worker-"):
        try:
            return str(UUID(channel.removeprefix("worker-"))) == channel.removeprefix("worker-")
        except ValueError:
            return False
    if _TASK.fullmatch(channel):
        return parse_id(channel.removeprefix("task-")) is not None
    return _QUEUE.fullmatch(channel) is not None
