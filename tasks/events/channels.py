"""The channels of the live stream, and who may read each.

all             every event
task-<id>       of one task
queue-<name>    of one queue
worker-<id>     of one worker
dashboard       what the dashboard shows, and dashboard-workers its worker cards
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django_eventstream.channelmanager import ChannelManagerBase

from tasks.errors import InvalidField
from tasks.ids import as_id
from tasks.models import Event
from tasks.permissions import VIEW

ALL = "all"
DASHBOARD = "dashboard"
DASHBOARD_WORKERS = "dashboard-workers"
#: As many as django-eventstream takes in one request.
CHANNELS_MAX = 10
#: `workers` has its own package, of which this one knows nothing but the name of this permission.
_VIEW_WORKERS = "workers.view_worker"
_RULE = (
    "must be all, dashboard, dashboard-workers, task-<id>, queue-<name> or worker-<id>, "
    f"up to {CHANNELS_MAX} with commas between."
)
_TASK = re.compile(r"task-[1-9]\d{0,18}", re.ASCII)
_QUEUE = re.compile(r"queue-[\w.:-]{1,64}", re.ASCII)


def parse(text: str) -> list[str]:
    """The channels that a request names; `all` when it names none. Raises InvalidField."""
    names = [name.strip() for name in text.split(",")] if text else [ALL]
    if len(names) > CHANNELS_MAX or not all(map(_is_known, names)):
        raise InvalidField("channels", _RULE)
    return list(dict.fromkeys(names))


def permissions(channel: str) -> tuple[str, ...]:
    """What a reader of the channel needs."""
    if channel == DASHBOARD_WORKERS:
        return (VIEW, _VIEW_WORKERS)
    return (_VIEW_WORKERS,) if channel.startswith("worker-") else (VIEW,)


def of(event: Event) -> list[str]:
    """The channels on which an event appears."""
    channels = [ALL]
    if event.task_id is not None:
        channels.append(f"task-{event.task_id}")
    if event.queue:
        channels.append(f"queue-{event.queue}")
    if event.worker_id is not None:
        channels.append(f"worker-{event.worker_id}")
    return channels


def _is_known(channel: str) -> bool:
    if channel in (ALL, DASHBOARD, DASHBOARD_WORKERS):
        return True
    if channel.startswith("worker-"):
        try:
            return str(UUID(channel.removeprefix("worker-"))) == channel.removeprefix("worker-")
        except ValueError:
            return False
    if _TASK.fullmatch(channel):
        return as_id(channel.removeprefix("task-")) is not None
    return _QUEUE.fullmatch(channel) is not None


class Channels(ChannelManagerBase):
    """Who may read, for django-eventstream."""

    def get_channels_for_request(self, request: Any, view_kwargs: Any) -> set[str]:
        """The channels that a request names. Raises InvalidField."""
        return set(parse(request.GET.get("channels", "")))

    def can_read_channel(self, user: Any, channel: str) -> bool:
        """Whether the user, None for nobody, has the permissions of the channel."""
        return user is not None and user.has_perms(permissions(channel))

    def is_channel_reliable(self, channel: str) -> bool:
        """Every channel is: who is slow reads again from the storage."""
        return True
